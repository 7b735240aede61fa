import { confirm, input } from '../../ui/ask.ts'
import { escapeLine } from '../../ui/style.ts'
import type { Draft, MemberDraft } from './draft.ts'
import type { Interview } from './interview.ts'
import { judgeAt } from './judge.ts'
import { diskDirectory, objection, type Reached, reachedText } from './servers.ts'

/**
 * The questions about servers: one after the other, each looked at before it is taken. A server that will not do
 * says why, and the question comes again.
 */

interface Servers {
  readonly draft: Draft
  /** What was seen, by member name. */
  readonly reached: ReadonlyMap<string, Reached>
}

/** More than the largest profile allows is not asked for. */
const mostServers = 32

/** Completes the servers of the draft; asks for new ones when it has none. */
export const askServers = async (start: Draft, talk: Interview): Promise<Servers> => {
  const given = start.members.length > 0
  let draft = { ...start, members: [] as readonly MemberDraft[] }
  const reached = new Map<string, Reached>()
  const wanted: MemberDraft[] = [...start.members]
  while (draft.members.length < mostServers) {
    const next = wanted.shift()
    if (!next && given) break
    const member = await askServer({ ...draft, members: [...draft.members, next ?? {}] }, reached, talk)
    if (!member) break
    draft = { ...draft, ...member.also, members: [...draft.members, member.member] }
    if (member.seen) reached.set(member.member.name ?? '', member.seen)
  }
  return { draft, reached }
}

interface Taken {
  readonly member: MemberDraft
  readonly seen?: Reached
  /** What was agreed to on the way. */
  readonly also: { readonly sameProvider?: true }
}

/** The last member of the draft, completed; null when there shall be no further one. */
const askServer = async (
  draft: Draft,
  reached: ReadonlyMap<string, Reached>,
  talk: Interview,
): Promise<Taken | null> => {
  const index = draft.members.length - 1
  const target = await askTarget(draft, index, reached, talk)
  if (!target) return null
  const known = replaceLast(draft, target.member)
  const named = replaceLast(known, { ...target.member, name: await askMemberName(known, index, talk) })
  const { provider, also } = await askProvider(named, index, talk)
  const member: MemberDraft = { ...(named.members[index] ?? {}), provider }
  return { member, also, ...(target.seen ? { seen: target.seen } : {}) }
}

const replaceLast = (draft: Draft, member: MemberDraft): Draft => ({
  ...draft,
  members: [...draft.members.slice(0, -1), member],
})

/** Asks for an SSH target until one answers that can be used. */
const askTarget = async (
  draft: Draft,
  index: number,
  reached: ReadonlyMap<string, Reached>,
  talk: Interview,
): Promise<{ member: MemberDraft; seen?: Reached } | null> => {
  let member = draft.members[index] ?? {}
  for (;;) {
    const ssh = member.ssh ?? (await askSsh(draft, index, talk))
    if (ssh === '') return null
    if (!talk.probes) return { member: { ...member, ssh } }
    const seen = await look({ ...member, ssh }, draft, reached, talk)
    if (seen) return { member: { ...member, ssh, 'host-key': seen.fingerprint }, seen }
    const { ssh: _, ...rest } = member
    member = rest
  }
}

/** An SSH target; empty when there shall be no further server. */
const askSsh = (draft: Draft, index: number, { world }: Interview): Promise<string> =>
  input(world, {
    message:
      index === 0
        ? 'First server (an alias of ~/.ssh/config, or user@host):'
        : `Server ${index + 1}${index === 1 ? ' (a mirror needs two)' : ''}, or Enter for no more:`,
    flag: '--member name=…,ssh=…,provider=…,size=…',
    check: (text) => {
      if (text === '') return index > 0 || 'at least one server is needed'
      return judgeAt(replaceLast(draft, { ...draft.members[index], ssh: text }), `members[${index}].ssh`)
    },
  })

/** Looks at a server and says what it is; null when it will not do. */
const look = async (
  member: MemberDraft,
  draft: Draft,
  reached: ReadonlyMap<string, Reached>,
  { world, probes, say }: Interview,
): Promise<Reached | null> => {
  const ssh = escapeLine(member.ssh ?? '')
  say(`  asking ${ssh} …`)
  const found = await probes?.reach(member.ssh ?? '', {
    name: member.name ?? ssh,
    directory: diskDirectory(member),
    ...(member['host-key'] ? { pin: member['host-key'] } : {}),
    acceptKey: (fingerprint, type) => askKey(world, ssh, fingerprint, type, say),
  })
  if (!found) return null
  if ('error' in found) {
    say(`  ${ssh}: ${escapeLine(found.error)}${found.next ? ` (${escapeLine(found.next)})` : ''}`)
    return null
  }
  const why = objection(found, reached, draft.sameProvider)
  if (why) {
    say(`  ${ssh} ${why}`)
    return null
  }
  say(`  ${ssh}: ${reachedText(found)}`)
  if (found.keyFrom !== 'person') say(`  host key ${found.fingerprint}, ${keySource[found.keyFrom]}; pinned`)
  return found
}

const keySource = { known_hosts: 'as in your known_hosts', pin: 'as given' }

/** Shows a host key nobody has vouched for. The default is no. */
export const askKey = (
  world: Interview['world'],
  ssh: string,
  fingerprint: string,
  type: string,
  say: (text: string) => void,
): Promise<boolean> => {
  say(`  ${escapeLine(ssh)} shows a host key this machine has never seen:`)
  say(`    ${escapeLine(fingerprint)} (${escapeLine(type)})`)
  say('  On the server, or in the console of its provider: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub')
  return confirm(world, {
    message: 'Is it the same there?',
    flag: '--member …,host-key=SHA256:…',
    initial: false,
  })
}

const askMemberName = async (draft: Draft, index: number, { world }: Interview): Promise<string> => {
  const member = draft.members[index] ?? {}
  const at = `members[${index}].name`
  if (member.name !== undefined) return member.name
  return input(world, {
    message: 'Short name for it:',
    flag: '--member name=…',
    initial: suggestedName(draft, index),
    check: (name) => judgeAt(replaceLast(draft, { ...member, name }), at),
  })
}

/** "root@vps-fsn.example.com" → "fsn": the last word of the host's first label that is no filler. */
export const suggestedName = (draft: Draft, index: number): string => {
  const host = (draft.members[index]?.ssh ?? '').replace(/^.*@/, '')
  const label = /^[\d.:[\]]+$/.test(host) ? '' : (host.split(/[.:]/)[0] ?? '')
  const words = label.toLowerCase().split(/[^a-z0-9]+/)
  const name = words.findLast((word) => /^[a-z][a-z0-9]{0,15}$/.test(word) && !fillers.has(word))
  const taken = new Set(draft.members.slice(0, index).map((member) => member.name))
  return name !== undefined && !taken.has(name) ? name : `m${index + 1}`
}

const fillers = new Set(['vps', 'host', 'server', 'srv', 'node', 'vm'])

/** The provider; a second mirror at the same one only when the person says that it is intended. */
const askProvider = async (
  draft: Draft,
  index: number,
  { world }: Interview,
): Promise<{ provider: string; also: { sameProvider?: true } }> => {
  const member = draft.members[index] ?? {}
  const at = `members[${index}].provider`
  for (;;) {
    const provider =
      member.provider ??
      (await input(world, {
        message: 'Who runs it (provider):',
        flag: '--member …,provider=…',
        check: (text) =>
          text
            ? judgeAt(replaceLast({ ...draft, sameProvider: true }, { ...member, provider: text }), at)
            : 'a name, like hetzner',
      }))
    const twin = draft.members
      .slice(0, index)
      .find((other) => other.provider?.toLowerCase() === provider.toLowerCase())
    if (!twin || draft.sameProvider || member.provider !== undefined) return { provider, also: {} }
    const intended = await confirm(world, {
      message: `${escapeLine(twin.name ?? '')} is at ${escapeLine(provider)} too, and both can be lost at once. Is that intended?`,
      flag: '--allow-same-provider',
      initial: false,
    })
    if (intended) return { provider, also: { sameProvider: true } }
  }
}
