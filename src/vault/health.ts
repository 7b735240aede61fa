import type { LocalMachine } from '../host/host.ts'
import { linkUnit, mapperPath, memberId, parkUnit } from '../names.ts'
import { type Member, type Profile, spareCopies } from '../profile/profile.ts'
import { asRecorded, membersAfter, targetOf } from '../record/job.ts'
import type { VaultPaths } from '../record/paths.ts'
import { type RecordData, sizesOf, wasCut } from '../record/record.ts'
import { findByBackend } from '../stack/attach/sysfs.ts'
import { readLatency } from '../stack/attach.ts'
import {
  type ChunkTable,
  type DeviceErrors,
  impureChunks,
  readChunkTable,
  readDeviceErrors,
  readSuperblock,
  type Superblock,
} from '../stack/btrfs.ts'
import { usableBytes } from '../stack/capacity.ts'
import { type Mounted, mountAt } from '../stack/mount.ts'
import type { Supervisor } from '../stack/supervise.ts'
import { chores } from './chores.ts'
import { complaint, cures } from './complaint.ts'
import { kitReport } from './kit.ts'
import { readProgress } from './progress.ts'
import { scrubReport } from './scrub-report.ts'
import { lookAtServices, withServices } from './services.ts'
import { firewalls, gaveUpWriting, noteOf, withoutEnough } from './silent.ts'
import type { MemberReport, StatusReport, Verdict } from './status.ts'
import { beingFilled, protection, underWay } from './under-way.ts'

/**
 * One verdict from what can be seen on this machine, every look with a deadline. It never touches the mount point and
 * never asks a server: a vault's health must be told with every server frozen.
 */

/** A provider that takes 2 s for every request is slow and not silent, also when a read waits behind a full queue. */
const probeMs = 8000

export interface Looked {
  readonly profile: Profile
  readonly paths: VaultPaths
  readonly record: RecordData | null
  readonly local: LocalMachine
  readonly supervisor: Supervisor
}

export const lookAt = async (given: Looked): Promise<StatusReport> => {
  const vault = { ...given, profile: asRecorded(given.profile, given.record, 'taking part') }
  const { profile, record } = vault
  const mounted = await mountAt(profile.mount.at)
  const table = mounted && record ? await readChunkTable(record.fsid).catch(() => null) : null
  const members = await Promise.all(
    profile.members.map((member) => lookAtMember(vault, member, mounted !== null)),
  )
  const progress =
    mounted && (record?.resilver || record?.job) ? await readProgress(vault.paths.progress) : null
  const services = await lookAtServices(vault, mounted !== null)
  const found = judge(profile, record, mounted, members, table)
  const judged = withServices(found, profile.vault, services)
  const kit = await kitReport(profile, vault.paths, record)
  return {
    schema: 'cloudvault.status/1',
    at: new Date().toISOString(),
    vault: profile.vault,
    ...judged,
    ...(judged.next.length === 0 ? { next: chores(profile, record, kit.state !== 'current') } : {}),
    redundancy: profile.filesystem.redundancy,
    providers: new Set(profile.members.map((member) => member.provider)).size,
    ...(mounted ? { mountedAt: profile.mount.at, readOnly: mounted.readOnly } : {}),
    ...(mounted && record?.open
      ? { mountedMs: Math.max(0, Date.now() - Date.parse(record.open.since)) }
      : {}),
    ...(table ? { usedBytes: table.usedBytes, totalBytes: capacity(profile, record) } : {}),
    members: withBehind(members),
    ...(record?.job ? { job: { ...record.job, ...(progress ? { progress } : {}) } } : {}),
    ...(record?.rotation ? { rotation: record.rotation } : {}),
    ...(progress && !record?.job ? { resilver: progress } : {}),
    ...(record?.phase === 'created' ? { scrub: await scrubReport(vault, record, mounted !== null) } : {}),
    kit,
    services,
  }
}

const lookAtMember = async (vault: Looked, member: Member, mounted: boolean): Promise<MemberReport> => {
  const { profile, record, local, supervisor } = vault
  const known = record?.members[member.name]
  const base = {
    name: member.name,
    provider: member.provider,
    ...(known ? { sizeBytes: known.sizeBytes, generation: known.generation } : {}),
    ...(known?.resizingTo === undefined ? {} : { resizingTo: known.resizingTo, note: 'being resized' }),
  }
  const index = await findByBackend(memberId(profile.vault, member.name))
  const pump =
    member.link.kind !== 'plain' ? await supervisor.probe(linkUnit(profile.vault, member.name)) : null
  const parked = (await supervisor.probe(parkUnit(profile.vault, member.name))).is === 'present'
  if (index !== null && record && targetOf(record) === member.name)
    return { ...base, ...beingFilled(member.link.kind, index, parked) }
  if (index === null || !known) {
    return {
      ...base,
      link: { kind: member.link.kind, state: 'down', note: 'not attached' },
      mirror: mounted ? 'absent' : 'unknown',
    }
  }
  const latency = parked ? null : await readLatency(local, index, sizesOf(known), probeMs)
  const errors = record && mounted ? await readDeviceErrors(record.fsid, known.devid) : null
  const block = latency === null ? null : await superblockOf(vault, member.name)
  return {
    ...base,
    link: {
      kind: member.link.kind,
      state: latency === null ? 'down' : 'up',
      ...noteOf(member, pump?.is === 'absent', latency !== null, parked),
    },
    ...(latency === null ? {} : { latencyMs: Math.round(latency * 10) / 10 }),
    device: `/dev/nbd${index}`,
    ...(errors ? { errors: countsOf(errors) } : {}),
    ...(block ? { generation: block.generation, fillBytes: block.allocatedBytes } : {}),
    mirror: mirrorState(profile, latency, errors),
  }
}

/** From the opened mapping; only asked for after the member has answered a read. */
const superblockOf = (vault: Looked, member: string): Promise<Superblock | null> =>
  readSuperblock(vault.local, mapperPath(vault.profile.vault, member), false).catch(() => null)

const countsOf = ({ read, write, flush, corruption, generation }: DeviceErrors) => ({
  read,
  write,
  flush,
  corruption,
  generation,
})

const errorSum = (errors: DeviceErrors): number =>
  errors.read + errors.write + errors.flush + errors.corruption + errors.generation

const mirrorState = (
  profile: Profile,
  latency: number | null,
  errors: DeviceErrors | null,
): MemberReport['mirror'] => {
  if (latency === null || errors?.missing) return 'absent'
  if (errors === null) return 'unknown'
  if (errorSum(errors) > 0) return 'stale'
  return profile.filesystem.assured === 'single' ? 'none' : 'in sync'
}

type Judged = Pick<StatusReport, 'verdict' | 'why' | 'next'>

const judge = (
  profile: Profile,
  record: RecordData | null,
  mounted: Mounted | null,
  members: readonly MemberReport[],
  table: ChunkTable | null,
): Judged => {
  const readOnly = mounted?.readOnly === true
  const { vault } = profile
  const say = (verdict: Verdict, why: string[], next: string[]): Judged => ({ verdict, why, next })
  if (record?.phase !== 'created')
    return say('down', ['this machine has no finished record of the vault'], [`cloudvault create ${vault}`])
  if (!mounted) {
    const crashed = wasCut(record) ? ['it was not taken down cleanly; the next up reads what is newest'] : []
    return say('down', crashed, [`cloudvault up ${vault}`])
  }
  const absent = members.filter((member) => member.mirror === 'absent')
  if (mounted.forced) return say('degraded', ...gaveUpWriting(vault, absent))
  const job = underWay(record, members)
  const changing = record.job ? [...job, protection(profile, record.job, absent.length)] : job
  if (absent.length > spareCopies[profile.filesystem.assured]) {
    const [why, next] = withoutEnough(profile, absent)
    return say('degraded', [...why, ...job], next)
  }
  if (absent.length > 0) {
    const names = absent.map((member) => member.name).join(', ')
    if (absent.every((member) => member.device === undefined))
      return say(
        'degraded',
        [
          `${names} takes no part: the vault was brought up without it${readOnly ? '' : '; what is written now has fewer copies'}`,
          ...changing,
        ],
        [`cloudvault down ${vault}, then cloudvault up ${vault}   when ${names} answers again`],
      )
    return say(
      'degraded',
      [`${names} does not answer; what is written now has fewer copies`, ...changing],
      [
        `cloudvault status ${vault}   it comes back by itself when ${names} answers again`,
        ...firewalls(profile, absent),
      ],
    )
  }
  // A failed look is not a "no": healthy is said only of what was seen.
  if (table === null)
    return say(
      'not mirrored',
      ['how many copies there are could not be read from the kernel'],
      [`cloudvault status ${vault}`],
    )
  const impure = impureChunks(table, profile.filesystem.redundancy, membersAfter(record))
  if (impure.length > 0 && record.job) return say('not mirrored', changing, [resume(vault)])
  if (impure.length > 0)
    return say(
      'not mirrored',
      [`stored with too few copies: ${impure.join(', ')}`],
      [`cloudvault resilver ${vault}`],
    )
  if (record.resilver) {
    const names = record.resilver.members.join(', ')
    return say(
      'resilvering',
      [`${names} missed writes; its copy is being made equal again`, ...job],
      [`cloudvault resilver ${vault}   shows how far it is, or does it when no monitor runs`],
    )
  }
  const stale = members.filter((member) => member.mirror === 'stale')
  if (stale.length > 0) return say('stale', stale.map(complaint), cures(profile, stale))
  return say('healthy', job, job.length > 0 ? [resume(vault)] : [])
}

const resume = (vault: string): string =>
  `cloudvault resume ${vault}   shows how far it is, and goes on where it was cut off`

/** Usable bytes: what fits when every block is stored as often as the profile asks. */
const capacity = (profile: Profile, record: RecordData | null): number =>
  usableBytes(
    profile.filesystem.redundancy,
    Object.values(record?.members ?? {}).map(({ sizeBytes }) => sizeBytes),
  )

const withBehind = (members: readonly MemberReport[]): MemberReport[] => {
  const newest = Math.max(0, ...members.map((member) => member.generation ?? 0))
  return members.map((member) =>
    member.generation === undefined ? member : { ...member, generationBehind: newest - member.generation },
  )
}
