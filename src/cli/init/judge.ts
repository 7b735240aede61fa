import { ProfileFaults } from '../../profile/faults.ts'
import { parseProfile } from '../../profile/load.ts'
import { escapeLine } from '../../ui/style.ts'
import type { Draft, MemberDraft } from './draft.ts'
import { profileText } from './write.ts'

/**
 * Whether answers are right, by the profile's own checks and no second set of rules: a draft is written out (its
 * holes filled with harmless values), read back, and the faults are told in the words of the answer they belong to.
 */

export interface Complaint {
  /** Key path in the profile: "members[1].disk.size". */
  readonly path: string
  readonly message: string
}

/** Everything that is wrong with the values in a draft. Holes are not a fault here. */
export const judge = (draft: Draft): Complaint[] => {
  try {
    parseProfile(profileText(filled(draft)), 'answers')
    return []
  } catch (error) {
    if (!(error instanceof ProfileFaults)) throw error
    return error.faults.map(({ path, message }) => ({ path, message: escapeLine(message) }))
  }
}

/** What is wrong with one answer, or true; the form inquirer asks for. Faults elsewhere do not count. */
export const judgeAt = (draft: Draft, ...prefixes: readonly string[]): true | string => {
  const found = judge(draft).find(({ path }) =>
    prefixes.some(
      (prefix) => path === prefix || path.startsWith(`${prefix}.`) || path.startsWith(`${prefix}[`),
    ),
  )
  return found ? found.message : true
}

/** Harmless values where nothing was said. */
const filled = (draft: Draft): Draft => ({
  ...draft,
  vault: draft.vault ?? 'vault',
  at: draft.at ?? '/vault/unsaid',
  members: (draft.members.length > 0 ? draft.members : [{}]).map(
    (member: MemberDraft, index): MemberDraft => ({
      ...member,
      name: member.name ?? `unsaid${index}`,
      provider: member.provider ?? `unsaid${index}`,
      ssh: member.ssh ?? `unsaid${index}`,
      ...(member.size || member.device ? {} : { size: '1GiB' }),
    }),
  ),
})

/** What a complete draft still lacks, as the flags that would say it. */
export const holes = (draft: Draft): string[] => {
  const needed = ['name', 'ssh', 'provider'] as const
  const members = draft.members.flatMap((member, index) => {
    const missing = [
      ...needed.filter((key) => member[key] === undefined),
      ...(member.size || member.device ? [] : ['size']),
    ]
    const who = member.name ?? `number ${index + 1}`
    return missing.length > 0 ? [`--member of ${who}: ${missing.map((key) => `${key}=…`).join(',')}`] : []
  })
  return [
    ...(draft.vault === undefined ? ['NAME, the name of the vault'] : []),
    ...(draft.members.length === 0
      ? ['--member name=…,ssh=…,provider=…,size=… (once for every server)']
      : []),
    ...members,
    ...(draft.at === undefined ? ['--at DIR'] : []),
    ...(draft.passphrase === undefined
      ? ['--passphrase prompt (or file:PATH, command:WORDS, credential:NAME)']
      : []),
  ]
}

/** A complaint in the words of the flag that is to be mended. */
export const flagText = (draft: Draft, { path, message }: Complaint): string => {
  const [, index, rest = ''] = /^members\[(\d+)\]\.?(.*)$/.exec(path) ?? []
  if (index !== undefined) {
    const key = { host_key: 'host-key', 'disk.size': 'size', 'disk.file': 'file', 'disk.device': 'device' }[
      rest
    ]
    const name = draft.members[Number(index)]?.name ?? `number ${Number(index) + 1}`
    return `--member of ${escapeLine(name)}: ${key ?? rest}: ${message}`
  }
  const flags: [RegExp, string][] = [
    [/^vault/, 'NAME'],
    [/^mount\.owner/, '--owner'],
    [/^mount/, '--at'],
    [/^filesystem\.mirror/, '--mirror'],
    [/^unlock\.kdf/, '--kdf'],
    [/^unlock/, '--passphrase'],
  ]
  return `${flags.find(([pattern]) => pattern.test(path))?.[1] ?? path}: ${message}`
}
