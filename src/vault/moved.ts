import type { Job } from '../record/job.ts'
import { type MemberRecord, type RecordData, withoutStale, withStale } from '../record/record.ts'

/**
 * What the record says when the kernel is through with a change of members. It is noted as done also when somebody gave
 * it up in that very moment: what the kernel has done is so, and only a change of its own would take it back.
 */

/** The kernel has forgotten this member. */
export const hasLeft = (now: RecordData, job: Job, member: string): RecordData =>
  retiring(withoutStale(without(now, member), member), job)

/**
 * The newcomer has the place of the one that goes. Its copy is not trusted yet: what was written while the old one was
 * away may have one copy only.
 */
export const tookPlace = (now: RecordData, job: Job, newcomer: MemberRecord): RecordData => {
  const { joins = '', leaves = '' } = job
  const members = { ...without(now, leaves).members, [joins]: newcomer }
  const stale = now.resilver?.members.filter((member) => member !== leaves) ?? []
  const { resilver: _, ...rest } = now
  return retiring(withStale({ ...rest, members }, [...stale, joins]), job)
}

/** All data is in its place; what the one that left had is to be taken away. */
export const retiring = (now: RecordData, job: Job): RecordData => ({
  ...now,
  job: { ...(now.job?.since === job.since ? now.job : job), phase: 'retire' },
})

const without = (record: RecordData, member: string): RecordData => {
  const { [member]: _, ...members } = record.members
  return { ...record, members }
}
