import type { PassphraseSource } from '../../profile/profile.ts'
import { readText } from '../../profile/text.ts'
import { parseTree } from '../../profile/tree.ts'

/**
 * What the wizard knows so far: a profile with holes, in the words people type. Flags, an answers file and the
 * questions all fill the same draft; whether a value is right is only for the profile's own checks to say.
 */

/** One server, as `--member` says it; every value as it was typed. */
export interface MemberDraft {
  readonly name?: string
  readonly ssh?: string
  readonly provider?: string
  readonly size?: string
  readonly 'host-key'?: string
  readonly server?: string
  /** "ssh", "plain" or "plain:PORT". */
  readonly link?: string
  readonly file?: string
  readonly device?: string
  readonly patience?: string
}

export interface Draft {
  readonly vault?: string
  readonly at?: string
  readonly owner?: string
  readonly mirror?: string
  readonly passphrase?: PassphraseSource
  readonly kdf?: Readonly<Record<string, string | number>>
  readonly sameProvider?: boolean
  readonly members: readonly MemberDraft[]
}

/** The answers that flags can give, as commander hands them over. */
export interface DraftFlags {
  readonly member?: readonly string[]
  readonly at?: string
  readonly owner?: string
  readonly mirror?: string
  readonly passphrase?: string
  readonly kdf?: string
  readonly allowSameProvider?: boolean
}

/** A value, or why there is none: the wizard shows all complaints at once. */
export type Answer<T> = { readonly value: T } | { readonly fault: string }

export const memberKeys = [
  'name',
  'ssh',
  'provider',
  'size',
  'host-key',
  'server',
  'link',
  'file',
  'device',
  'patience',
] as const
type MemberKey = (typeof memberKeys)[number]
const isMemberKey = (key: string): key is MemberKey => memberKeys.includes(key as MemberKey)

/** "name=fsn,ssh=vps-fsn,provider=hetzner,size=10GiB" */
export const parseMember = (text: string): Answer<MemberDraft> => {
  const pairs = text.split(',').map((pair) => {
    const at = pair.indexOf('=')
    return at < 0
      ? ([pair.trim(), null] as const)
      : ([pair.slice(0, at).trim(), pair.slice(at + 1).trim()] as const)
  })
  return memberOf(pairs)
}

const memberOf = (pairs: readonly (readonly [string, unknown])[]): Answer<MemberDraft> => {
  const member: Partial<Record<MemberKey, string>> = {}
  for (const [key, value] of pairs) {
    if (!isMemberKey(key)) return { fault: `"${key}" is not one of ${memberKeys.join(', ')}` }
    if (member[key] !== undefined) return { fault: `${key} is said twice` }
    if (typeof value !== 'string' || value === '') return { fault: `${key} has no value; write ${key}=…` }
    member[key] = value
  }
  return { value: member }
}

/** "prompt", "file:/root/photos.pass", "command:pass show photos" (or a JSON list), "credential:NAME" */
export const parsePassphrase = (text: string): Answer<PassphraseSource> => {
  if (text === 'prompt') return { value: { kind: 'prompt' } }
  const [, kind, rest = ''] = /^(file|command|credential):(.+)$/s.exec(text) ?? []
  if (kind === 'file') return { value: { kind, path: rest } }
  if (kind === 'credential') return { value: { kind, name: rest } }
  if (kind === 'command') return commandWords(rest)
  // The text is not repeated: it could be the passphrase itself.
  return {
    fault: 'is one of prompt, file:PATH, command:WORDS, credential:NAME (never the passphrase itself)',
  }
}

const commandWords = (text: string): Answer<PassphraseSource> => {
  if (!text.trimStart().startsWith('[')) return { value: { kind: 'command', argv: text.trim().split(/\s+/) } }
  try {
    const words: unknown = JSON.parse(text)
    if (Array.isArray(words) && words.length > 0 && words.every((word) => typeof word === 'string')) {
      return { value: { kind: 'command', argv: words } }
    }
  } catch {
    // said below
  }
  return { fault: 'command: starts with [ and is no JSON list of words' }
}

/** "argon2id", "argon2id,memory=1GiB,iterations=4,threads=4", "pbkdf2,iterations=600000": the keys of the profile. */
const parseKdf = (text: string): Answer<Record<string, string | number>> => {
  const [algorithm = '', ...pairs] = text.split(',').map((word) => word.trim())
  const kdf: Record<string, string | number> = { algorithm }
  for (const pair of pairs) {
    const [key, value] = pair.split('=', 2)
    if (!key || !value) return { fault: `"${pair}" is not KEY=VALUE` }
    kdf[key] = /^\d+$/.test(value) ? Number(value) : value
  }
  return { value: kdf }
}

/** The draft that flags make, and every complaint about them, each naming its flag. */
export const draftOfFlags = (
  vault: string | undefined,
  flags: DraftFlags,
): { draft: Draft; faults: string[] } => {
  const faults: string[] = []
  const take = <T>(
    flag: string,
    text: string | undefined,
    parse: (text: string) => Answer<T>,
  ): T | undefined => {
    if (text === undefined) return undefined
    const answer = parse(text)
    if ('value' in answer) return answer.value
    faults.push(`${flag}: ${answer.fault}`)
    return undefined
  }
  const members = (flags.member ?? []).flatMap((text) => take(`--member ${text}`, text, parseMember) ?? [])
  const passphrase = take('--passphrase', flags.passphrase, parsePassphrase)
  const kdf = take('--kdf', flags.kdf, parseKdf)
  const { at, owner, mirror, allowSameProvider: sameProvider } = flags
  return { draft: without({ vault, at, owner, mirror, passphrase, kdf, sameProvider, members }), faults }
}

const fileKeys = ['vault', 'at', 'owner', 'mirror', 'passphrase', 'kdf', 'allow-same-provider', 'member']

/**
 * Reads an answers file: YAML or JSON with the names of the flags as keys, `member` as a list.
 * @throws ProfileFaults (exit 2) when it cannot be read
 */
export const draftOfFile = async (path: string): Promise<{ draft: Draft; faults: string[] }> => {
  const tree = parseTree(await readText(path), path)
  const faults = tree.faults.map((fault) => `${path}:${fault.line}: ${fault.message}`)
  const isMap = typeof tree.value === 'object' && tree.value !== null && !Array.isArray(tree.value)
  if (tree.broken || !isMap) {
    return { draft: { members: [] }, faults: faults.length > 0 ? faults : [`${path}: holds no answers`] }
  }
  const value = tree.value as Record<string, unknown>
  const complain = (key: string, fault: string): undefined => {
    faults.push(`${path}: ${key}: ${fault}`)
  }
  for (const key of Object.keys(value)) {
    if (!fileKeys.includes(key)) complain(key, `is not one of ${fileKeys.join(', ')}`)
  }
  const text = (key: string): string | undefined => {
    if (value[key] === undefined || typeof value[key] === 'string') return value[key]
    return complain(key, 'must be a text')
  }
  const take = <T>(key: string, parse: (text: string) => Answer<T>): T | undefined => {
    const written = text(key)
    const answer = written === undefined ? undefined : parse(written)
    return answer && 'fault' in answer ? complain(key, answer.fault) : answer?.value
  }
  const list = value.member === undefined ? [] : Array.isArray(value.member) ? value.member : [value.member]
  const members = list.flatMap((item: unknown, index: number) => {
    const isBlock = typeof item === 'object' && item !== null
    const answer = isBlock ? memberOf(Object.entries(item)) : parseMember(String(item))
    return 'value' in answer ? [answer.value] : (complain(`member[${index}]`, answer.fault) ?? [])
  })
  const draft = without({
    vault: text('vault'),
    at: text('at'),
    owner: text('owner'),
    mirror: text('mirror'),
    passphrase: take('passphrase', parsePassphrase),
    kdf: take('kdf', parseKdf),
    sameProvider: value['allow-same-provider'] === true ? true : undefined,
    members,
  })
  return { draft, faults }
}

/** Flags win over the file; members of both stand side by side, those with the same name are one. */
export const merge = (below: Draft, above: Draft): Draft => {
  const named = new Map(above.members.map((member) => [member.name, member]))
  const kept = below.members.map((member) =>
    member.name !== undefined ? { ...member, ...named.get(member.name) } : member,
  )
  const known = new Set(below.members.map(({ name }) => name).filter((name) => name !== undefined))
  const added = above.members.filter(({ name }) => name === undefined || !known.has(name))
  return { ...below, ...above, members: [...kept, ...added] }
}

/** The object without its undefined values, which exactOptionalPropertyTypes does not let through. */
const without = (draft: { readonly [K in keyof Draft]: Draft[K] | undefined }): Draft =>
  Object.fromEntries(Object.entries(draft).filter(([, value]) => value !== undefined)) as unknown as Draft
