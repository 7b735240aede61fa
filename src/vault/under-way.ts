import { type Profile, spareCopies } from '../profile/profile.ts'
import { type Job, jobTitle } from '../record/job.ts'
import type { RecordData } from '../record/record.ts'
import { rotationTitle } from '../record/rotation.ts'
import { spares } from '../stack/hold.ts'
import { parkedNote } from './silent.ts'
import type { MemberReport } from './status.ts'

/** What `status` says of a change of members, or of new keys, that is not done. */

/** A sentence for each. @param members as they look now */
export const underWay = ({ job, rotation }: RecordData, members: readonly MemberReport[]): string[] => [
  ...(job ? [jobNow(job, members)] : []),
  ...(rotation ? [rotationTitle(rotation)] : []),
]

/** A newcomer that the kernel copies onto: nothing is missing because of it. */
export const beingFilled = (
  kind: string,
  index: number,
  parked: boolean,
): Pick<MemberReport, 'link' | 'device' | 'mirror' | 'note'> => ({
  link: { kind, ...(parked ? { state: 'down', note: parkedNote } : { state: 'unknown' }) },
  device: `/dev/nbd${index}`,
  mirror: 'resilvering',
  note: parked
    ? 'it is no member yet, and is filled anew when it answers'
    : 'it is being filled, and is no member yet',
})

/** What a change of members does at the moment. */
const jobNow = (job: Job, members: readonly MemberReport[]): string => {
  const silent = members
    .filter(({ name, link }) => link.note === parkedNote && !spares(job, name))
    .map(({ name }) => name)
  const waits = silent.length > 0 ? `waits until ${silent.join(', ')} answers` : 'under way'
  return {
    prepare: `${jobTitle(job)}: begun, and nothing was moved yet`,
    move: `${jobTitle(job)}: ${job.trouble ? `cannot go on: ${job.trouble}` : waits}`,
    retire: `${jobTitle(job)}: all data is in its place; what ${job.leaves} held is still to be taken away`,
  }[job.phase]
}

/** What a person may still lose without harm while it lasts. @param absent how many do not answer now */
export const protection = ({ filesystem }: Profile, { to }: Job, absent = 0): string => {
  const spare = Math.max(0, spareCopies[filesystem.assured] - absent)
  const more = absent > 0 ? ' more' : ''
  const now = spare === 0 ? 'one copy of everything is sure' : `${spare}${more} of the members may be lost`
  return `until it is done ${now}; then ${spareCopies[to] === 0 ? 'one copy is' : `${spareCopies[to]} may be lost`}`
}
