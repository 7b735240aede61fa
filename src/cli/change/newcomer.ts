import { Exit, Fault } from '../../fault.ts'
import type { RemoteHost } from '../../host/ssh.ts'
import { addMember, setMemberHostKey } from '../../profile/edit.ts'
import { setMirror } from '../../profile/edit-mirror.ts'
import { parseProfile } from '../../profile/load.ts'
import type { Member, Redundancy } from '../../profile/profile.ts'
import { readText } from '../../profile/text.ts'
import { formatSize } from '../../profile/units.ts'
import { canAsk, input } from '../../ui/ask.ts'
import type { Context } from '../context.ts'
import { type MemberDraft, parseMember } from '../init/draft.ts'
import { memberBlock } from '../init/write.ts'
import { acceptedKeys, connectMembers } from '../provision-connect.ts'
import type { World } from '../world.ts'

/**
 * A server that is to become a member: from `name=…,ssh=…` or questions to the lines of a profile. What the profile
 * lacks afterwards is nothing: it is checked as a whole before anybody is contacted.
 */

/** A profile before and after a change; what is written later is exactly this. */
export interface Edited {
  readonly before: string
  readonly after: string
}

export interface Newcomer extends Edited {
  readonly member: Member
}

/**
 * @param given as --member says it; a bare name means one that stands in the profile already
 * @param like whose size it gets when none is said; and whose place, which keeps it apart from the others
 * @param mirror what the profile shall say then
 * @throws Fault 2 when something is missing and nobody can be asked; ProfileFaults when it does not fit
 */
export const newcomerFrom = async (
  world: World,
  context: Context,
  given: string | undefined,
  like: Member | undefined,
  mirror: Redundancy,
): Promise<Newcomer> => {
  const { path } = context.profile
  const before = await readText(path)
  const known = context.written.members.find(({ name }) => name === given)
  if (known !== undefined) return { before, after: withRedundancy(before, mirror, path), member: known }
  const draft = await completed(world, context, given, like)
  const others: MemberDraft[] = context.written.members.map(({ name, ssh }) => ({ name, ssh }))
  const added = addMember(before, memberBlock({ vault: context.profile.vault, members: others }, draft), path)
  const after = withRedundancy(added, mirror, path)
  const member = parseProfile(after, path).profile.members.at(-1)
  if (member === undefined) throw new Error('a member was added, and there is none')
  return { before, after, member }
}

/** The text with that redundancy, unchanged where it says so already. @throws ProfileFaults when it does not fit */
export const withRedundancy = (text: string, mirror: Redundancy, path: string): string => {
  if (parseProfile(text, path).profile.filesystem.redundancy === mirror) return text
  const edited = setMirror(text, mirror)
  parseProfile(edited, path)
  return edited
}

/** Connects to the newcomer's server, its host key accepted by a pin, by known_hosts or by the person who is asked. */
export const meeting = async <T>(
  world: World,
  context: Context,
  drafted: Newcomer,
  accepted: readonly string[],
  use: (newcomer: Newcomer, remote: RemoteHost) => Promise<T>,
): Promise<T> => {
  const { member } = drafted
  const keys = acceptedKeys(accepted, { ...context.profile, members: [member] })
  const remotes = await connectMembers(world, context.profile, [member], keys)
  const remote = remotes.get(member.name)
  if (remote === undefined) throw new Error('connected, and no connection')
  try {
    return await use(withKey(drafted, remote.hostKey.fingerprint), remote)
  } finally {
    await remote.close()
  }
}

/** The same with the host key that was met. */
const withKey = ({ before, after, member }: Newcomer, fingerprint: string): Newcomer => ({
  before,
  after: member.hostKey ? after : setMemberHostKey(after, member.name, fingerprint),
  member: { ...member, hostKey: member.hostKey ?? fingerprint },
})

const completed = async (
  world: World,
  context: Context,
  given: string | undefined,
  like: Member | undefined,
): Promise<MemberDraft> => {
  const parsed = given === undefined ? { value: {} } : parseMember(given)
  if ('fault' in parsed)
    throw new Fault(Exit.usage, `${JSON.stringify(given)}: ${parsed.fault}`, {
      stands: 'nothing was contacted',
      next: 'name=hel,ssh=vps-hel,provider=upcloud,size=100GiB',
    })
  const draft = parsed.value
  const ask = async (key: keyof MemberDraft, message: string, initial?: string): Promise<string> => {
    const said = draft[key]
    if (said !== undefined) return said
    if (initial !== undefined && !canAsk(world)) return initial
    return input(world, {
      message,
      flag: `${key}=… of the server`,
      ...(initial === undefined ? {} : { initial }),
    })
  }
  const ssh = await ask('ssh', 'Server (an alias of ~/.ssh/config, or user@host):')
  const name = await ask('name', 'Short name for it:')
  const provider = await ask('provider', 'Who runs it (provider):', name)
  const size = draft.device ? undefined : await ask('size', 'Size of its disk:', sizeLike(context, like))
  return { ...draft, ssh, name, provider, ...(size === undefined ? {} : { size }) }
}

/** As large as the one it takes after: a copy needs at least that. */
const sizeLike = ({ profile, record }: Context, like: Member | undefined): string | undefined => {
  const one = like ?? profile.members[0]
  const bytes = one?.disk.kind === 'file' ? one.disk.sizeBytes : one && record?.members[one.name]?.sizeBytes
  return bytes === undefined ? undefined : formatSize(bytes)
}
