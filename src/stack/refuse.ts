import { Exit, Fault } from '../fault.ts'
import { type Held, shown } from '../record/epoch.ts'
import type { RecordData } from '../record/record.ts'
import type { Compared } from './compare.ts'

/** Why members are not mounted together, or one of them not for writing: what differs, and the command that decides. */

type OneState = Compared & { readonly is: 'one state' }
type FoundMembers = Readonly<Record<string, Held>>

/** Two halves of the vault were each written without the other. Nothing can join them; each can be read. */
export const diverged = (vault: string, found: FoundMembers, why: string): Fault => {
  const held = Object.entries(found).map(
    ([member, { generation, epoch }]) => `${member}: generation ${generation}, epoch ${shown(epoch)}`,
  )
  const reading = Object.keys(found).map(
    (member) => `cloudvault up ${vault} --degraded=ro --without ${member}`,
  )
  return new Fault(Exit.trust, `the members of ${vault} diverged: ${why}`, {
    detail: held.join('\n'),
    stands: 'nothing was mounted; mounted together, each would spoil the other',
    next: `${reading.join(', or ')}   (reads what the other holds)`,
  })
}

export const rolledBack = (vault: string, record: RecordData, state: OneState): Fault => {
  const [lost] = state.gone.filter((epoch) => epoch.written)
  const what =
    state.generation < record.generation
      ? `generation ${state.generation} < recorded ${record.generation}`
      : `they are from before epoch ${shown(lost ?? null)}, which began at generation ${lost?.from}`
  return new Fault(Exit.trust, `all servers hold an old copy: ${what}`, {
    stands: 'nothing was mounted and nothing was written',
    next:
      `ask the providers whether a snapshot was restored; cloudvault up ${vault} --accept-rollback` +
      '   goes on from the old state and gives up what came after it',
  })
}

/** A part of the vault whose epoch was begun by somebody else: writing here could make a second line. */
export const stranger = (vault: string, member: string, state: OneState): Fault =>
  new Fault(
    Exit.trust,
    `${member} was written by somebody else: this machine's record does not know its epoch ${shown(state.epoch)}`,
    {
      member,
      stands: 'nothing was mounted',
      next: `cloudvault up ${vault} --degraded=ro   (reads it)`,
    },
  )

/** @param away names of the members that are not here */
export const lacks = (vault: string, members: string, away: string, why: string): Fault =>
  new Fault(Exit.decide, `${members} lacks what ${away} has: ${why}`, {
    stands: 'nothing was mounted; written now, the two could never be joined again',
    next: `cloudvault up ${vault}   when ${away} answers again, or cloudvault up ${vault} --degraded=ro   to read what is here`,
  })

export const oldCopy = (vault: string, { surprising, generation }: OneState): Fault =>
  new Fault(
    Exit.decide,
    `${surprising.join(', ')} is behind generation ${generation}: an old copy of its disk is served`,
    {
      ...(surprising[0] ? { member: surprising[0] } : {}),
      stands: 'nothing was mounted',
      next: `cloudvault up ${vault} --allow-stale   (reads the newer copy and resilvers the older one)`,
    },
  )
