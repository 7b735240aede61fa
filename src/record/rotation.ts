import { memberPattern } from '../names.ts'
import type { Member, Profile } from '../profile/profile.ts'
import type { Job } from './job.ts'
import type { RecordData } from './record.ts'
import * as v from './validate.ts'

/**
 * New volume keys: every member in turn is replaced by a twin of its own, on the same server, with another disk and
 * another header. Until the old one has left, the profile names the old one, and the record knows the twin.
 */

/** What is still to be done, and what was: names of members before, and after. */
export interface Rotation {
  readonly left: readonly string[]
  readonly done: readonly string[]
  readonly since: string
}

/** A member that the profile does not name yet: as another one of it, but for this. */
export interface Twin {
  /** Whose place it takes. */
  readonly of: string
  /** Its disk on the server. */
  readonly file: string
  /** Its port, where the link opens one. */
  readonly port?: number
}

export const isRotation = (data: unknown): data is Rotation =>
  v.object(data) &&
  [data.left, data.done].every((names) => Array.isArray(names) && names.every((name) => v.text(name))) &&
  v.text(data.since)

export const isTwin = (data: unknown): data is Twin =>
  v.object(data) && v.text(data.of) && v.text(data.file) && (data.port === undefined || v.whole(data.port))

/** The member that a job knows and the profile does not name: the one that comes, or that goes again after a cancel. */
export const twinName = (job: Pick<Job, 'kind' | 'joins' | 'leaves'>): string | undefined =>
  job.kind === 'replace' ? job.joins : job.leaves

/** The profile's members, and the twin behind the one whose place it takes. */
export const withTwin = (members: readonly Member[], job: Job | undefined): readonly Member[] => {
  const name = job?.twin && twinName(job)
  if (!job?.twin || name === undefined || members.some((member) => member.name === name)) return members
  const { of, file, port } = job.twin
  return members.flatMap((member) => {
    if (member.name !== of || member.disk.kind !== 'file') return [member]
    const link = port !== undefined && 'port' in member.link ? { ...member.link, port } : member.link
    return [member, { ...member, name, disk: { ...member.disk, path: file }, link }]
  })
}

const longestName = 16

/** "fsn" becomes "fsn2", "fsn2" becomes "fsn3"; names that are taken are passed over. */
export const nextName = (member: string, taken: readonly string[]): string => {
  const [, stem = member, number = '1'] = /^(.*?)(\d*)$/.exec(member) ?? []
  for (let next = Number(number || '1') + 1; ; next++) {
    const name = `${stem.slice(0, longestName - `${next}`.length)}${next}`
    if (!taken.includes(name) && memberPattern.test(name)) return name
  }
}

/** "/srv/cloudvault/photos.img" becomes "/srv/cloudvault/photos-fsn2.img", and that one "…-fsn3.img". */
export const nextFile = (path: string, from: string, to: string): string => {
  const [, folder = '', file = ''] = /^(.*\/)?([^/]*)$/.exec(path) ?? []
  const dot = file.lastIndexOf('.')
  const [stem, ending] = dot > 0 ? [file.slice(0, dot), file.slice(dot)] : [file, '']
  const plain = stem.endsWith(`-${from}`) ? stem.slice(0, -from.length - 1) : stem
  return `${folder}${plain}-${to}${ending}`
}

/** The twin of a member, and what it is called; null when its disk is a device, of which there is only one. */
export const twinOf = (
  { members }: Pick<Profile, 'members'>,
  member: Member,
): { readonly name: string; readonly twin: Twin } | null => {
  if (member.disk.kind !== 'file') return null
  const name = nextName(
    member.name,
    members.map((other) => other.name),
  )
  const { link } = member
  const file = nextFile(member.disk.path, member.name, name)
  return {
    name,
    twin: { of: member.name, file, ...('port' in link ? { port: freePort(members, link.port) } : {}) },
  }
}

/** The next one that no member uses: whoever shares the server with it must not meet it there. */
const freePort = (members: readonly Member[], port: number): number => {
  const taken = members.flatMap(({ link }) => ('port' in link ? [link.port] : []))
  let free = port
  do free = free < 65_535 ? free + 1 : 1024
  while (taken.includes(free))
  return free
}

/** "new volume keys: 1 of 2 members have theirs" */
export const rotationTitle = ({ left, done }: Rotation): string =>
  `new volume keys: ${done.length} of ${left.length + done.length} members have theirs`

/** The record when a member's old key is gone. */
export const turned = (
  record: RecordData,
  before: string | undefined,
  after: string | undefined,
): RecordData => {
  const { rotation } = record
  if (!rotation || before === undefined || after === undefined || !rotation.left.includes(before))
    return record
  const left = rotation.left.filter((name) => name !== before)
  return { ...record, rotation: { ...rotation, left, done: [...rotation.done, after] } }
}
