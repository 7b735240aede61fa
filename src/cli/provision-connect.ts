import { Exit, Fault } from '../fault.ts'
import { connectSsh, fingerprintPattern, type RemoteHost, resolveSsh } from '../host/ssh.ts'
import { setMemberHostKey } from '../profile/edit.ts'
import { openProfile } from '../profile/find.ts'
import type { Member, Profile } from '../profile/profile.ts'
import { writeProfile } from '../profile/write.ts'
import { canAsk, confirm } from '../ui/ask.ts'
import { escapeLine } from '../ui/style.ts'
import type { World } from './world.ts'

/** Connections for provision: the only verb that may meet a server whose host key is not pinned yet. */

/** An SSH handshake with a small server far away on a bad day, in milliseconds. */
const connectDeadline = 30_000

/** @throws Fault 2 when an entry is not member=SHA256:…, or names no member of the profile */
export const acceptedKeys = (entries: readonly string[], profile: Profile): Map<string, string> => {
  const accepted = new Map<string, string>()
  for (const entry of entries) {
    const [, member = '', key = ''] = /^([^=]+)=(.*)$/.exec(entry) ?? []
    const known = profile.members.some(({ name }) => name === member)
    if (!known || !fingerprintPattern.test(key)) {
      throw new Fault(Exit.usage, `--accept-host-key ${JSON.stringify(entry)} is not MEMBER=SHA256:…`, {
        stands: 'nothing was contacted',
        next: `members of this profile: ${profile.members.map(({ name }) => name).join(', ')}`,
      })
    }
    accepted.set(member, key)
  }
  return accepted
}

/**
 * Connects to all members at once; questions about host keys come one after the other.
 * @throws Fault (several: AggregateError) after every connection that did stand was closed again
 */
export const connectMembers = async (
  world: World,
  profile: Profile,
  members: readonly Member[],
  accepted: ReadonlyMap<string, string>,
): Promise<Map<string, RemoteHost>> => {
  const ask = oneAtATime(world)
  const results = await Promise.allSettled(
    members.map((member) => connectMember(world, profile, member, accepted.get(member.name), ask)),
  )
  const remotes = new Map<string, RemoteHost>()
  const failures: unknown[] = []
  results.forEach((result, index) => {
    const name = members[index]?.name ?? ''
    if (result.status === 'fulfilled') remotes.set(name, result.value)
    else failures.push(result.reason)
  })
  if (failures.length === 0) return remotes
  await Promise.all([...remotes.values()].map((remote) => remote.close()))
  throw failures.length === 1 ? failures[0] : new AggregateError(failures)
}

type AskKey = (member: string, fingerprint: string, type: string) => Promise<boolean>

const connectMember = async (
  world: World,
  profile: Profile,
  member: Member,
  accepted: string | undefined,
  ask: AskKey,
): Promise<RemoteHost> => {
  if (member.hostKey) return world.connect(profile, member)
  const resolved = await resolveSsh(world.local, member.ssh, world.env)
  return connectSsh(world.local, resolved, {
    name: member.name,
    deadlineMs: connectDeadline,
    signal: world.signal,
    ...(accepted
      ? { pin: accepted }
      : canAsk(world)
        ? { onUnknownKey: (fingerprint, type) => ask(member.name, fingerprint, type) }
        : {}),
  })
}

/** Two questions at once on one terminal would be answered by the same line. */
const oneAtATime = (world: World): AskKey => {
  let last: Promise<unknown> = Promise.resolve()
  return (member, fingerprint, type) => {
    const message = `${member}: unknown host key ${fingerprint} (${escapeLine(type)}). Does the provider show the same?`
    const flag = `--accept-host-key ${member}=${fingerprint}`
    const answer = last.then(() => confirm(world, { message, flag }))
    last = answer.catch(() => false)
    return answer
  }
}

/**
 * Writes the keys that were accepted into the profile, comments kept.
 * @returns the keys that were pinned now
 */
export const pinKeys = async (
  world: World,
  profile: Profile,
  remotes: ReadonlyMap<string, RemoteHost>,
): Promise<PinnedKey[]> => {
  const unpinned = profile.members.filter((member) => !member.hostKey && remotes.has(member.name))
  if (unpinned.length === 0) return []
  const { text } = await openProfile(profile.path, world.env)
  const pinned = unpinned.reduce(
    (before, member) =>
      setMemberHostKey(before, member.name, remotes.get(member.name)?.hostKey.fingerprint ?? ''),
    text,
  )
  await writeProfile(profile.path, text, pinned)
  return unpinned.map(({ name }) => ({
    member: name,
    hostKey: remotes.get(name)?.hostKey.fingerprint ?? '',
    trustedBy: remotes.get(name)?.trustedByKnownHosts ? 'known_hosts' : 'you',
  }))
}

export interface PinnedKey {
  readonly member: string
  readonly hostKey: string
  readonly trustedBy: 'known_hosts' | 'you'
}
