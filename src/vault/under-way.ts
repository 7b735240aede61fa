import { type Profile, spareCopies } from '../profile/profile.ts'
import { type Job, jobTitle } from '../record/job.ts'
import type { RecordData } from '../record/record.ts'
import { rotationTitle } from '../record/rotation.ts'
import type { MemberReport } from './status.ts'

/** What `status` says of a change of members, or of new keys, that is not done. */

/** A sentence for each. */
export const underWay = ({ job, rotation }: RecordData): string[] => [
  ...(job ? [jobNow(job)] : []),
  ...(rotation ? [rotationTitle(rotation)] : []),
]

/** A newcomer that the kernel copies onto: nothing is missing because of it. */
export const beingFilled = (
  kind: string,
  index: number,
): Pick<MemberReport, 'link' | 'device' | 'mirror' | 'note'> => ({
  link: { kind, state: 'unknown' },
  device: `/dev/nbd${index}`,
  mirror: 'resilvering',
  note: 'it is being filled, and is no member yet',
})

/** What a change of members does at the moment. */
const jobNow = (job: Job): string =>
  ({
    prepare: `${jobTitle(job)}: begun, and nothing was moved yet`,
    move: `${jobTitle(job)}: ${job.trouble ? `cannot go on: ${job.trouble}` : 'under way'}`,
    retire: `${jobTitle(job)}: all data is in its place; what ${job.leaves} held is still to be taken away`,
  })[job.phase]

/** What a person may still lose without harm while it lasts. */
export const protection = ({ filesystem }: Profile, { to }: Job): string => {
  const spare = spareCopies[filesystem.assured]
  const now = spare === 0 ? 'one copy of everything is sure' : `${spare} of the members may be lost`
  return `until it is done ${now}; then ${spareCopies[to] === 0 ? 'one copy is' : `${spareCopies[to]} may be lost`}`
}
