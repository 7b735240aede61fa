import { formatSize, parseDiskSize } from '../../profile/units.ts'
import { type AskWorld, type Choice, input, select } from '../../ui/ask.ts'
import { escapeLine } from '../../ui/style.ts'
import type { Draft, MemberDraft } from './draft.ts'
import { judgeAt } from './judge.ts'
import { askServers } from './server-questions.ts'
import { noRoom, type Reached, type WizardProbes } from './servers.ts'
import { usualMirror } from './write.ts'

/**
 * The questions, in the order in which a person knows the answers: name, servers, size, copies, passphrase, place.
 * Only what the draft lacks is asked, and every answer is checked before the next question.
 */

export interface Interview {
  readonly world: AskWorld
  /** Absent with --no-check: nothing is contacted. */
  readonly probes?: WizardProbes
  /** A line to the person, on stderr. */
  readonly say: (text: string) => void
  /** Whether the profile can be written under this name; true, or why not. */
  readonly nameFree: (vault: string) => Promise<true | string>
}

/** Asks until nothing is missing. @throws Fault 130 on Ctrl-C */
export const interview = async (start: Draft, talk: Interview): Promise<Draft> => {
  const named = await askName(start, talk)
  const { draft: withServers, reached } = await askServers(named, talk)
  const sized = await askSize(withServers, reached, talk)
  const mirrored = await askMirror(sized, talk)
  const unlocked = await askPassphrase(mirrored, talk)
  return askPlace(unlocked, talk)
}

const askName = async (draft: Draft, { world, nameFree }: Interview): Promise<Draft> => {
  if (draft.vault !== undefined) return draft
  const vault = await input(world, {
    message: 'Name of the vault:',
    flag: 'NAME',
    check: async (text) => {
      const verdict = text ? judgeAt({ ...draft, vault: text }, 'vault') : 'a name, like photos'
      return verdict === true ? nameFree(text) : verdict
    },
  })
  return { ...draft, vault }
}

/** One size for all that have none. */
const askSize = async (
  draft: Draft,
  reached: ReadonlyMap<string, Reached>,
  { world }: Interview,
): Promise<Draft> => {
  const lacking = (member: MemberDraft): boolean => !member.size && !member.device
  if (!draft.members.some(lacking)) return draft
  const sizedWith = (size: string): Draft => ({
    ...draft,
    members: draft.members.map((member) => (lacking(member) ? { ...member, size } : member)),
  })
  const free = Math.min(...[...reached.values()].map((server) => server.freeBytes))
  const size = await input(world, {
    message: draft.members.length > 1 ? 'Size of the disk on each server:' : 'Size of the disk:',
    flag: '--member …,size=10GiB',
    initial: suggestedSize(free),
    check: (text) => {
      const parsed = parseDiskSize(text)
      if ('fault' in parsed) return `${parsed.fault} (like 10GiB)`
      const tooSmall = sizedWith(text).members.flatMap((member) => {
        const server = reached.get(member.name ?? '')
        return (server && noRoom(member, server)) ?? []
      })
      return tooSmall[0] ?? true
    },
  })
  return sizedWith(size)
}

const GiB = 2 ** 30

/** Half of what is free everywhere, in whole GiB, at most 100. */
const suggestedSize = (free: number): string => {
  if (!Number.isFinite(free)) return '10GiB'
  return formatSize(Math.max(1, Math.min(100, Math.floor(free / 2 / GiB))) * GiB)
}

/** What can be chosen with this many servers, safest usual choice first. */
export const mirrorChoices = (members: number): Choice<string>[] =>
  [
    {
      value: 'raid1',
      label: 'raid1: every block on two servers',
      about: 'any one server can be lost',
      from: 2,
    },
    { value: 'raid1c3', label: 'raid1c3: on three servers', about: 'any two servers can be lost', from: 3 },
    { value: 'raid1c4', label: 'raid1c4: on four servers', about: 'any three servers can be lost', from: 4 },
    {
      value: 'raid10',
      label: 'raid10: on two servers, striped',
      about: 'any one server can be lost',
      from: 4,
    },
    { value: 'single', label: 'single: no mirror', about: 'losing any server loses the vault', from: 1 },
  ]
    .filter(({ from }) => members >= from)
    .map(({ value, label, about }) => ({ value, label, about }))

const askMirror = async (draft: Draft, { world, say }: Interview): Promise<Draft> => {
  const count = draft.members.length
  if (draft.mirror !== undefined) return draft
  if (count === 1) {
    say('one server: encrypted, but without a mirror; losing the server loses the vault')
    return { ...draft, mirror: usualMirror(1) }
  }
  const mirror = await select(world, {
    message: 'How many copies?',
    flag: '--mirror raid1',
    choices: mirrorChoices(count),
  })
  return { ...draft, mirror }
}

const askPassphrase = async (draft: Draft, { world }: Interview): Promise<Draft> => {
  if (draft.passphrase !== undefined) return draft
  const kind = await select(world, {
    message: 'Where does the passphrase come from?',
    flag: '--passphrase prompt',
    choices: [
      { value: 'prompt' as const, label: 'I type it', about: 'asked at every `cloudvault up`' },
      { value: 'file' as const, label: 'a file on this machine', about: 'mode 0600' },
      {
        value: 'command' as const,
        label: 'a program prints it',
        about: 'a password manager: pass, op, bw, secret-tool',
      },
      {
        value: 'credential' as const,
        label: 'a systemd credential',
        about: 'for a vault that comes up at boot',
      },
    ],
  })
  if (kind === 'prompt') return { ...draft, passphrase: { kind } }
  const source = (text: string) => {
    if (kind === 'file') return { kind, path: text }
    return kind === 'credential' ? { kind, name: text } : { kind, argv: text.split(/\s+/) }
  }
  const questions = {
    file: 'Path of the file:',
    command: 'Program and its arguments:',
    credential: 'Name of the credential:',
  }
  const text = await input(world, {
    message: questions[kind],
    flag: `--passphrase ${kind}:…`,
    ...(kind === 'credential' ? { initial: `cloudvault.${draft.vault}` } : {}),
    check: (answer) =>
      answer ? judgeAt({ ...draft, passphrase: source(answer) }, 'unlock.passphrase') : 'an answer is needed',
  })
  return { ...draft, passphrase: source(text) }
}

const askPlace = async (draft: Draft, { world }: Interview): Promise<Draft> => {
  if (draft.at !== undefined) return draft
  const at = await input(world, {
    message: 'Where does it appear on this machine?',
    flag: '--at DIR',
    initial: `/vault/${escapeLine(draft.vault ?? '')}`,
    check: (text) => judgeAt({ ...draft, at: text }, 'mount.at', 'unlock.passphrase'),
  })
  return { ...draft, at }
}
