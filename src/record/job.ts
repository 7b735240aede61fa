import type { Member, Profile, Redundancy } from '../profile/profile.ts'
import { spareCopies } from '../profile/profile.ts'
import type { MemberRecord, RecordData } from './record.ts'
import { isTwin, type Twin, withTwin } from './rotation.ts'
import * as v from './validate.ts'

/**
 * A change of the vault's members or of its redundancy, while it is mounted: hours of moving data, noted in the record
 * before it begins, so that whoever comes next (the monitor, `resume`, the next boot) goes on where it was cut off.
 */

export type JobKind = 'add' | 'replace' | 'remove' | 'convert'

/**
 * `prepare`: the newcomer is set up, nothing of the vault is on it. `move`: the kernel stores data anew. `retire`: all
 * data is where it should be, and what the one that left had is taken away.
 */
export type JobPhase = 'prepare' | 'move' | 'retire'

export interface Job {
  readonly kind: JobKind
  readonly phase: JobPhase
  /** Member that comes. */
  readonly joins?: string
  /** Member that goes. */
  readonly leaves?: string
  /** What could be counted on before, and what is wanted. */
  readonly from: Redundancy
  readonly to: Redundancy
  readonly since: string
  /** The newcomer's disk was found blank, and is ours to format: what is on it now is our own. */
  readonly claimed?: true
  /** add: the kernel may have taken the newcomer in already, without our having noted it. */
  readonly joining?: true
  /** Why it does not go on by itself, when it does not. */
  readonly trouble?: string
  /** replace: read from the one that goes only where no other copy is right. */
  readonly failing?: true
  /** Bytes a second that may be moved; absent: as fast as the line is. */
  readonly limit?: number
  /** Of a removal that is taken back: its part of the filesystem may have been made smaller, step by step. */
  readonly regrows?: string
  /** A member is replaced by itself, for a new volume key: what is not in the profile yet. */
  readonly twin?: Twin
}

export const isJob = (data: unknown): data is Job =>
  v.object(data) &&
  ['add', 'replace', 'remove', 'convert'].includes(String(data.kind)) &&
  ['prepare', 'move', 'retire'].includes(String(data.phase)) &&
  [data.from, data.to].every((name) => typeof name === 'string' && Object.hasOwn(spareCopies, name)) &&
  [data.joins, data.leaves, data.trouble, data.regrows].every(
    (words) => words === undefined || v.text(words),
  ) &&
  [data.claimed, data.joining, data.failing].every((flag) => flag === undefined || flag === true) &&
  (data.limit === undefined || v.whole(data.limit)) &&
  (data.twin === undefined || isTwin(data.twin)) &&
  v.text(data.since)

/** Long enough for a server's reboot: with one copy, a member that is given up is an error for every program. */
const patienceAlone = 300_000

/**
 * The profile as this client's record bears it out: the members that the filesystem really has, and the redundancy
 * that can be counted on while a change is under way.
 * @param whom `taking part`: who is in the filesystem (a replace's target too, which the kernel needs to go on);
 * `touched`: also who is about to come, or has just gone: their devices may stand
 */
export const asRecorded = (
  profile: Profile,
  record: RecordData | null,
  whom: 'taking part' | 'touched',
): Profile => {
  if (record?.phase !== 'created') return profile
  const { job } = record
  const assured = job ? weaker(job.from, profile.filesystem.redundancy) : profile.filesystem.redundancy
  const alone = assured === 'single' && profile.filesystem.redundancy !== 'single'
  const names = whom === 'touched' ? [job?.joins, job?.leaves] : [targetOf(record)]
  const members = withTwin(profile.members, job)
    .filter(({ name }) => record.members[name] !== undefined || names.includes(name))
    .map(
      (member): Member =>
        alone ? { ...member, patienceMs: Math.max(member.patienceMs, patienceAlone) } : member,
    )
  return { ...profile, members, filesystem: { ...profile.filesystem, assured } }
}

/** A newcomer that the kernel wants to see at the mount though the record does not list it: a replace's target, or one that was just added. */
export const targetOf = ({ job }: Pick<RecordData, 'job'>): string | undefined =>
  (job?.kind === 'replace' && job.phase === 'move') || job?.joining === true ? job.joins : undefined

/** How many members there will be when the change is done: what a chunk's copies are counted against. */
export const membersAfter = ({ job, members }: Pick<RecordData, 'job' | 'members'>): number => {
  const leaves = job?.kind === 'remove' && job.leaves !== undefined && members[job.leaves] !== undefined
  return Object.keys(members).length - (leaves ? 1 : 0)
}

/** Members of the profile that no record and no change knows: written there by hand, or by an `add-mirror` that was cut off. */
export const unknownMembers = (profile: Profile, record: RecordData): string[] =>
  profile.members
    .map(({ name }) => name)
    .filter((name) => record.members[name] === undefined && record.job?.joins !== name)
    .filter((name) => record.job?.leaves !== name)

/** Members of the vault that the profile does not name any more. */
export const unnamedMembers = (profile: Profile, record: RecordData): string[] =>
  Object.keys(record.members).filter(
    (name) => !withTwin(profile.members, record.job).some((member) => member.name === name),
  )

export const weaker = (one: Redundancy, other: Redundancy): Redundancy =>
  spareCopies[one] <= spareCopies[other] ? one : other

/** "add hel", "replace gra by waw": how a change is called in status and errors. */
export const jobTitle = ({ kind, joins, leaves, from, to, twin }: Job): string =>
  ({
    add: `adding ${joins}`,
    replace: twin ? `a new volume key for ${leaves}, as ${joins}` : `replacing ${leaves} by ${joins}`,
    remove: `removing ${leaves}`,
    convert: `converting from ${from} to ${to}`,
  })[kind]

/** The record with the newcomer as a member: from now on data is moved onto it. */
export const joined = (record: RecordData, member: string, known: MemberRecord): RecordData => {
  const { joining: _, ...job } = record.job ?? ({} as Job)
  return {
    ...record,
    members: { ...record.members, [member]: known },
    ...(record.job ? { job: { ...job, phase: 'move' } } : {}),
  }
}
