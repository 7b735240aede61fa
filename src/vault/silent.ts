import type { Member, Profile } from '../profile/profile.ts'
import { updateFirewall } from '../stack/link/plain.ts'
import { longestWait } from '../stack/patience.ts'
import type { MemberReport } from './status.ts'

/** What is said, and advised, about members that do not answer. */

/** In the place of a link's state: a local server answers for it with errors. */
export const parkedNote = 'parked'

/** Remark to a link: why it does not answer, or what is to be known of one that does. */
export const noteOf = (
  { link }: Member,
  lame: boolean,
  answers: boolean,
  parked: boolean,
): { readonly note?: string } => {
  if (lame) return { note: 'its pump is not running' }
  if (!answers) return { note: parked ? parkedNote : 'no answer' }
  return link.kind === 'plain' ? { note: 'without authentication' } : {}
}

/** A link whose port is open to some addresses only stands or falls with the address this machine comes from. */
export const firewalls = ({ vault, members }: Profile, absent: readonly MemberReport[]): string[] =>
  members
    .filter(({ name, link }) => 'clients' in link && absent.some((member) => member.name === name))
    .map(({ name }) => updateFirewall(vault, name))

/** Too few copies answer for anything to be written: it waits, or patience is over and it has failed. */
export const withoutEnough = (profile: Profile, absent: readonly MemberReport[]): [string[], string[]] => {
  const { vault } = profile
  const names = absent.map((member) => member.name).join(', ')
  if (absent.some((member) => member.link.note !== parkedNote)) {
    const patience = longestWait(profile)
    return [
      [`${names} does not answer; what is read or written waits, for ${patience} s at most, and fails then`],
      [
        `cloudvault status ${vault}   it goes on by itself when ${names} answers in time`,
        ...firewalls(profile, absent),
      ],
    ]
  }
  return [
    [`${names} has not answered for longer than patience: reads and writes fail, what was fsynced is on it`],
    [`cloudvault down ${vault}, then cloudvault up ${vault}   when ${names} answers again`],
  ]
}

/** Btrfs met errors on too many members at once; only another mount makes it write again, whoever answers now. */
export const gaveUpWriting = (vault: string, absent: readonly MemberReport[]): [string[], string[]] => {
  const names = absent.map((member) => member.name).join(', ')
  return [
    [
      'the filesystem met errors and is read-only since: nothing more can be written; what was fsynced is on its members',
      ...(names ? [`${names} does not answer`] : []),
    ],
    [`cloudvault down ${vault}, then cloudvault up ${vault}${names ? `   when ${names} answers again` : ''}`],
  ]
}
