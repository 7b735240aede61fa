import { type Member, type Profile, type Redundancy, spareCopies } from '../profile/profile.ts'
import type { RecordData } from '../record/record.ts'

/**
 * How long what was begun waits for a silent member. Without one of several copies the vault goes on, so its patience
 * is short; without the last whole one every read and write fails and the mount is lost, so that one is given longer.
 */

/** Beyond patience, milliseconds. A server's reboot fits in, and it ends before the kernel gives the device up. */
const lastCopyMs = 45_000

/** Seconds after which the kernel gives a dead connection up when nobody decided about it: longer than any patience. */
export const deadConnTimeout = (member: Member): number =>
  Math.ceil((member.patienceMs + lastCopyMs) / 1000) + 15

/** Whether too few whole copies are left without this member: the others missed writes, or took no part. */
export const isLastCopy = (
  { resilver }: Pick<RecordData, 'resilver'>,
  redundancy: Redundancy,
  member: string,
): boolean => {
  const notWhole = resilver?.members.filter((name) => name !== member) ?? []
  return spareCopies[redundancy] > 0 && notWhole.length >= spareCopies[redundancy]
}

/** @returns milliseconds */
export const patienceFor = ({ patienceMs }: Member, isLast: boolean): number =>
  patienceMs + (isLast ? lastCopyMs : 0)

/** For how long at most everything waits when all copies that are left are silent. @returns seconds */
export const longestWait = ({ members, filesystem }: Profile): number => {
  const isLast = spareCopies[filesystem.assured] > 0
  return Math.max(...members.map((member) => patienceFor(member, isLast))) / 1000
}
