import { perform } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import { mapperPath, memberId, parkUnit } from '../names.ts'
import { membersAfter } from '../record/job.ts'
import { type RecordData, type ResilverPhase, readRecord, updateRecord } from '../record/record.ts'
import { findByBackend } from '../stack/attach/sysfs.ts'
import { convert } from '../stack/balance.ts'
import { impureChunks, readChunkTable } from '../stack/btrfs.ts'
import { mountAt } from '../stack/mount.ts'
import { type ScrubState, scrub } from '../stack/scrub.ts'
import type { Supervisor } from '../stack/supervise.ts'
import type { Vault } from '../stack/vault.ts'
import { forgetProgress, type Progress, progressNotes, progressOf } from './progress.ts'
import { noteScrub } from './scrubbed.ts'
import { endScrubbing } from './scrubbing.ts'

/**
 * Resilver: makes a copy that missed writes whole again, and proves it. Mend (scrub), mirror (store what has one copy
 * only as often as it should be), prove (scrub again). The record says which of them is behind us and "not whole" until
 * the last one is through, so it may be killed at any moment and the next one goes on there.
 */

export interface Healed {
  readonly corrected: number
  readonly bytes: number
}

/** How often what is written meanwhile may make a proof mend something before it is called an error. */
const proofs = 2

/**
 * Why a resilver can do nothing now: the vault is not mounted for writing, or a member takes no part.
 * @returns null when it can
 */
export const cannotResilver = async (vault: Vault, supervisor: Supervisor): Promise<string | null> => {
  const { vault: name, members, mount } = vault.profile
  const mounted = await mountAt(mount.at)
  if (mounted === null || mounted.readOnly) return `${name} is not mounted for writing`
  for (const member of members) {
    if ((await findByBackend(memberId(name, member.name))) === null) return `${member.name} takes no part`
    if ((await supervisor.probe(parkUnit(name, member.name))).is === 'present')
      return `${member.name} does not answer`
  }
  return null
}

/**
 * The resilver of this vault: one at a time, whoever does it, and told to whoever asks how far it is.
 * @throws Fault 6 when another one is at it
 */
export const resilverAlone = async (
  vault: Vault,
  signal: AbortSignal,
  seen: (progress: Progress) => void,
): Promise<Healed> => {
  const { progress: path, resilverLock } = vault.paths
  const lock = await vault.local.lock(resilverLock, vault.profile.vault)
  const note = progressNotes(path)
  const awake = vault.local.stayAwake(`${vault.profile.vault} is being made equal on every server`)
  try {
    return await resilver(vault, signal, (progress) => {
      note(progress)
      seen(progress)
    })
  } finally {
    await awake.release()
    await forgetProgress(path)
    await lock.release()
  }
}

/**
 * @param seen called about once a second
 * @throws Fault 8 when something could not be mended, 130 when interrupted (the next one goes on)
 */
const resilver = async (
  vault: Vault,
  signal: AbortSignal,
  seen: (progress: Progress) => void,
): Promise<Healed> => {
  const record = await readRecord(vault.paths.record)
  if (!record) throw new Fault(Exit.missing, `this machine has no record of ${vault.profile.vault}`)
  await endScrubbing(vault.paths.scrubbing, record.fsid)
  const begun = record.resilver?.phase
  const work: Work = { vault, record, signal, seen, phase: begun }
  await dropStickyErrors(work)
  const mended = begun === undefined || begun === 'mend' ? await mend(work, begun === 'mend') : none
  if (begun !== 'prove') await mirror(work)
  const proved = await prove(work)
  await perform({
    on: vault.local,
    command: { argv: ['btrfs', 'device', 'stats', '-z', vault.profile.mount.at] },
  })
  await finish(work)
  return { corrected: mended.corrected + proved.corrected, bytes: mended.bytes + proved.bytes }
}

const none: ScrubState = { status: 'none', bytes: 0, corrected: 0, uncorrectable: 0 }

interface Work {
  readonly vault: Vault
  readonly record: RecordData
  readonly signal: AbortSignal
  readonly seen: (progress: Progress) => void
  /** What the record says unless somebody else has changed it. */
  phase: ResilverPhase | undefined
}

/**
 * Written before the phase begins. A member that missed writes while we were at it sent the record back to the start:
 * what was mended before that counts for nothing. Who was not known as stale has nothing to resume.
 */
const enter = async (work: Work, phase: ResilverPhase): Promise<void> => {
  await updateRecord(work.vault.paths.record, (now) => {
    if (now.resilver === undefined) return now
    if (now.resilver.phase !== work.phase) throw sentBack(work)
    return { ...now, resilver: { ...now.resilver, phase } }
  })
  work.phase = phase
}

const finish = (work: Work): Promise<void> =>
  updateRecord(work.vault.paths.record, (now) => {
    if (now.resilver !== undefined && now.resilver.phase !== work.phase) throw sentBack(work)
    const { resilver: _, ...whole } = now
    return whole
  })

const sentBack = ({ vault }: Work): Fault =>
  new Fault(Exit.decide, 'a member missed writes while its copy was being mended', {
    stands: 'the vault is mounted; what is right is served',
    next: `cloudvault resilver ${vault.profile.vault}`,
  })

const mend = async (work: Work, resume: boolean): Promise<ScrubState> => {
  await enter(work, 'mend')
  return whole(work, await pass(work, 'mend', resume))
}

/** What was written while a copy was away may lie in chunks without a mirror; scrub does not change that. */
const mirror = async (work: Work): Promise<void> => {
  const { vault, signal, seen } = work
  await enter(work, 'mirror')
  if ((await impureNow(work)).length === 0) return
  const began = performance.now()
  await convert(vault.local, {
    fsid: work.record.fsid,
    at: vault.profile.mount.at,
    redundancy: vault.profile.filesystem.redundancy,
    members: membersAfter(work.record),
    signal,
    seen: (moved, all) =>
      seen(progressOf('mirror', { began, share: moved / Math.max(1, all), corrected: 0, done: moved })),
  })
}

const prove = async (work: Work): Promise<ScrubState> => {
  await enter(work, 'prove')
  for (let attempt = 1; ; attempt++) {
    const began = performance.now()
    const state = whole(work, await pass(work, 'prove', false))
    await noteScrub(work.vault.paths.record, state, began)
    const impure = await impureNow(work)
    if (state.uncorrectable === 0 && state.corrected === 0 && impure.length === 0) return state
    if (state.uncorrectable === 0 && impure.length === 0 && attempt < proofs) continue
    // What the next one finds mended or mirrored already costs it nothing.
    await enter(work, 'mend')
    throw new Fault(Exit.integrity, `the copies are not equal yet: ${remains(state, impure)}`, {
      stands: 'the vault is mounted; what is right is served',
      next: `cloudvault resilver ${work.vault.profile.vault}`,
    })
  }
}

const pass = async (
  { vault, record, signal, seen }: Work,
  phase: 'mend' | 'prove',
  resume: boolean,
): Promise<ScrubState> => {
  const { diskBytes } = await readChunkTable(record.fsid)
  const began = performance.now()
  return scrub(vault.local, vault.profile.mount.at, signal, {
    resume,
    seen: ({ bytes, corrected }) =>
      seen(
        progressOf(phase, { began, share: diskBytes > 0 ? bytes / diskBytes : 0, corrected, done: bytes }),
      ),
  })
}

const whole = ({ vault }: Work, state: ScrubState): ScrubState => {
  if (state.status === 'finished') return state
  throw new Fault(Exit.decide, 'a scrub was stopped before its end', {
    next: `cloudvault resilver ${vault.profile.vault}`,
  })
}

/**
 * A failed write leaves an error flag on the cached superblock page; Btrfs goes on counting failures that are none,
 * and the next glitch of the other member would force the filesystem read-only.
 */
const dropStickyErrors = async ({ vault, record }: Work): Promise<void> => {
  for (const member of record.resilver?.members ?? Object.keys(record.members)) {
    const argv = ['blockdev', '--flushbufs', mapperPath(vault.profile.vault, member)]
    await perform({ on: vault.local, command: { argv, deadline: 120_000 } })
  }
}

const impureNow = async ({ vault, record }: Work): Promise<string[]> =>
  impureChunks(await readChunkTable(record.fsid), vault.profile.filesystem.redundancy, membersAfter(record))

const remains = (state: ScrubState, impure: readonly string[]): string =>
  [
    ...(state.corrected > 0 ? [`${state.corrected} blocks still had to be mended`] : []),
    ...(state.uncorrectable > 0 ? [`${state.uncorrectable} blocks are wrong on every copy`] : []),
    ...(impure.length > 0 ? [`too few copies of ${impure.join(', ')}`] : []),
  ].join('; ')
