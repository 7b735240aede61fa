import { Exit, type ExitCode, Fault } from '../../fault.ts'
import { parseDiskSize } from '../../profile/units.ts'
import { escapeLine } from '../../ui/style.ts'
import { bytes } from '../../ui/text.ts'
import type { Draft, MemberDraft } from './draft.ts'

/**
 * Looking at servers while the answers are given: is it there, is it the one that is meant, is there room. The look
 * itself is injected (init-probes.ts is the real one); here is what it means.
 */

/** What a look at one server found. */
export interface Reached {
  /** "SHA256:…", accepted by the time this is handed over. */
  readonly fingerprint: string
  readonly hostKeyType: string
  /** Why the key was accepted. */
  readonly keyFrom: 'pin' | 'known_hosts' | 'person'
  /** Free bytes where the disk's file will be. */
  readonly freeBytes: number
  /** "Debian GNU/Linux 12 (bookworm)" */
  readonly os: string
  readonly user: string
  readonly isRoot: boolean
  /** Root, or sudo without a password. */
  readonly canRoot: boolean
  /** The same for two names of one running machine, different for two machines. */
  readonly hostId: string
}

export interface Unreached {
  readonly error: string
  readonly exit: ExitCode
  readonly detail?: string
  readonly next?: string
}

export interface ReachRequest {
  /** How the server is called in errors. */
  readonly name: string
  /** Only this key is accepted. */
  readonly pin?: string
  /** Where the disk's file will be; need not exist yet. */
  readonly directory: string
  /** Asked for a key that neither a pin nor known_hosts vouches for. */
  readonly acceptKey: (fingerprint: string, type: string) => Promise<boolean>
}

export interface WizardProbes {
  /** Looks at a server, changes nothing there, and ends within a minute. Rejects only when interrupted. */
  reach(sshTarget: string, request: ReachRequest): Promise<Reached | Unreached>
}

/** Left to the server's own file system. */
const headroom = 0.95

/** "Debian GNU/Linux 12 (bookworm), root, 38 GiB free" */
export const reachedText = (server: Reached): string =>
  escapeLine(
    `${server.os}, ${server.isRoot ? 'root' : `${server.user} with sudo`}, ${bytes(server.freeBytes)} free`,
  )

/** Why a server that answers cannot be used, or null. `others` are the ones chosen before, by name. */
export const objection = (
  server: Reached,
  others: ReadonlyMap<string, Reached>,
  sameProvider = false,
): string | null => {
  if (!server.canRoot) {
    return `${escapeLine(server.user)} is not root there and may not sudo without a password; provision installs packages and a unit`
  }
  const twin = [...others].find(([, other]) => other.hostId === server.hostId)?.[0]
  return twin !== undefined && !sameProvider
    ? `is the same machine as ${escapeLine(twin)}: that is no mirror`
    : null
}

/** Why a disk of this size does not fit, or null. The size itself has been judged already. */
export const noRoom = (member: MemberDraft, server: Reached): string | null => {
  const parsed = parseDiskSize(member.size ?? '')
  if (member.device || 'fault' in parsed || parsed.value <= server.freeBytes * headroom) return null
  return `${escapeLine(member.name ?? member.ssh ?? '')} has ${bytes(server.freeBytes)} free, and the disk of ${escapeLine(member.size ?? '')} is allocated in full`
}

/** Directory in which a member's file will be. */
export const diskDirectory = (member: MemberDraft): string =>
  member.file?.replace(/\/[^/]*$/, '') || '/srv/cloudvault'

/**
 * Looks at all servers of a finished draft at once, without questions. Pins the host keys that were accepted.
 * @throws Fault, or an AggregateError of Faults, one for every server that will not do
 */
export const checkAll = async (
  draft: Draft,
  probes: WizardProbes,
  acceptKey: (member: MemberDraft, fingerprint: string, type: string) => Promise<boolean>,
): Promise<Draft> => {
  const looks = await Promise.all(
    draft.members.map(async (member) => ({ member, found: await lookAt(member, probes, acceptKey) })),
  )
  const faults: Fault[] = []
  const seen = new Map<string, Reached>()
  const members = looks.map(({ member, found }) => {
    const name = member.name ?? ''
    if ('error' in found) {
      faults.push(unreachedFault(name, found))
      return member
    }
    const why = objection(found, seen, draft.sameProvider) ?? noRoom(member, found)
    if (why) faults.push(new Fault(Exit.usage, why, { member: name, stands: 'no profile was written' }))
    seen.set(name, found)
    return { ...member, 'host-key': found.fingerprint }
  })
  if (faults.length === 1) throw faults[0]
  if (faults.length > 1) throw new AggregateError(faults)
  return { ...draft, members }
}

const lookAt = (
  member: MemberDraft,
  probes: WizardProbes,
  acceptKey: (member: MemberDraft, fingerprint: string, type: string) => Promise<boolean>,
): Promise<Reached | Unreached> =>
  probes.reach(member.ssh ?? '', {
    name: member.name ?? '',
    directory: diskDirectory(member),
    acceptKey: (fingerprint, type) => acceptKey(member, fingerprint, type),
    ...(member['host-key'] ? { pin: member['host-key'] } : {}),
  })

const unreachedFault = (member: string, { error, exit, detail, next }: Unreached): Fault =>
  new Fault(exit, error, {
    member,
    stands: 'no profile was written',
    ...(detail ? { detail } : {}),
    ...(next ? { next } : {}),
  })
