import { perform } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import { mapperPath, memberId, parkUnit } from '../names.ts'
import { type Job, jobTitle, membersAfter, targetOf } from '../record/job.ts'
import { type MemberRecord, type RecordData, readRecord, updateRecord } from '../record/record.ts'
import { findByBackend } from '../stack/attach/sysfs.ts'
import { convert, endedByOthers, makeRoom, NoRoom } from '../stack/balance.ts'
import { impureChunks, readChunkTable, readSuperblock, syncCommand } from '../stack/btrfs.ts'
import { givenUpSince } from '../stack/hold.ts'
import { memberRecord } from '../stack/identify.ts'
import { removeDevice } from '../stack/leave.ts'
import { mountAt } from '../stack/mount.ts'
import { replaceDevice, replaceState } from '../stack/replace.ts'
import { readExtents } from '../stack/resize.ts'
import type { Supervisor } from '../stack/supervise.ts'
import type { Vault } from '../stack/vault.ts'
import { copySpeed } from './copy-speed.ts'
import { hasLeft, retiring, tookPlace } from './moved.ts'
import { forgetProgress, type Progress, progressNotes, progressOf } from './progress.ts'
import { whatIsShort } from './short.ts'

/**
 * The long part of a change of members: the kernel stores data anew. Whoever is there does it, one at a time: the verb
 * that began it, or the monitor when that verb was left or killed, or after the next `up`. The record says that it is
 * not done until the table of chunks is pure.
 */

/**
 * Why nothing can be moved now: the vault is not mounted for writing, or a member that is needed does not answer.
 * @returns null when it can
 */
export const cannotMove = async (vault: Vault, supervisor: Supervisor): Promise<string | null> => {
  const { vault: name, mount } = vault.profile
  const mounted = await mountAt(mount.at)
  if (mounted === null || mounted.readOnly) return `${name} is not mounted for writing`
  const record = await readRecord(vault.paths.record)
  const job = record?.job
  // Whoever goes may be dead: that is what such a change is for.
  const needed = Object.keys(record?.members ?? {}).filter((member) => member !== job?.leaves)
  const target = targetOf({ ...(job ? { job } : {}) })
  for (const member of [...needed, ...(target ? [target] : [])]) {
    if ((await findByBackend(memberId(name, member))) === null) return `${member} takes no part`
    if ((await supervisor.probe(parkUnit(name, member))).is === 'present') return `${member} does not answer`
  }
  return null
}

/**
 * Moves what the record's job says, if it is in that phase.
 * @returns whether there was anything to move
 * @throws Fault 6 when somebody else is at it, 7 when there is no room, 130 when interrupted
 */
export const moveAlone = async (
  vault: Vault,
  signal: AbortSignal,
  seen: (progress: Progress) => void,
): Promise<boolean> => {
  const { progress: path, resilverLock, record: recordPath } = vault.paths
  const lock = await vault.local.lock(resilverLock, vault.profile.vault)
  const note = progressNotes(path)
  try {
    const record = await readRecord(recordPath)
    if (record?.job?.phase !== 'move') return false
    const awake = vault.local.stayAwake(`${vault.profile.vault}: ${jobTitle(record.job)}`, 'sleep:shutdown')
    try {
      const both = (progress: Progress): void => {
        note(progress)
        seen(progress)
      }
      const work = { vault, record, job: record.job, signal, seen: both }
      await move(work).catch(async (error: unknown) => {
        throw error instanceof NoRoom ? await whatIsShort(vault, error) : error
      })
      return true
    } finally {
      await awake.release()
    }
  } finally {
    await forgetProgress(path)
    await lock.release()
  }
}

interface Work {
  readonly vault: Vault
  readonly record: RecordData
  readonly job: Job
  readonly signal: AbortSignal
  readonly seen: (progress: Progress) => void
}

const move = async (work: Work): Promise<void> => {
  const { kind, leaves } = work.job
  if (kind === 'replace') return replaceMember(work)
  await regrown(work)
  await converted(work)
  if (kind === 'remove' && leaves !== undefined) return removeMember(work, leaves)
  await updateRecord(work.vault.paths.record, ({ job, ...rest }) =>
    job === undefined || job.since === work.job.since ? rest : { ...rest, job },
  )
}

/** Where a removal was taken back, the one that stays gets back all of its device. */
const regrown = async ({ vault, record, job }: Work): Promise<void> => {
  const devid = job.regrows === undefined ? undefined : record.members[job.regrows]?.devid
  if (devid !== undefined) await resizeToFull(vault.local, vault.profile.mount.at, devid)
}

/**
 * What the record says now: `resume --limit` may change it at any time.
 * @throws Fault 6 when something else is wanted now, or a member that is needed was given up: while nothing but waiting
 * happens, nobody else could say so
 */
const limitOf =
  ({ vault, record, job }: Work) =>
  async (): Promise<number | null> => {
    const now = await readRecord(vault.paths.record)
    if (now?.job?.since !== job.since) throw endedByOthers(jobTitle(job))
    const [silent] = givenUpSince(record, now)
    if (silent === undefined) return now.job.limit ?? null
    throw new Fault(Exit.busy, `${jobTitle(job)} waits until ${silent} answers`)
  }

/** @throws Fault 7 when something is still stored in the old way at the end */
const converted = async (work: Work): Promise<void> => {
  const { vault, record, signal, seen } = work
  const { redundancy } = vault.profile.filesystem
  const members = membersAfter(record)
  const began = performance.now()
  await convert(vault.local, {
    fsid: record.fsid,
    at: vault.profile.mount.at,
    redundancy,
    members,
    signal,
    seen: (moved, all) =>
      seen(progressOf('convert', { began, share: all > 0 ? moved / all : 1, done: moved, corrected: 0 })),
    limit: limitOf(work),
  })
  const impure = impureChunks(await readChunkTable(record.fsid), redundancy, members)
  if (impure.length === 0) return
  throw new Fault(Exit.decide, `not everything is stored as wanted yet: ${impure.join(', ')}`, {
    stands: 'the vault is mounted; nothing is lost',
    next: `cloudvault resume ${vault.profile.vault}`,
  })
}

/** The member is struck out of the record in the moment in which the kernel has forgotten it. */
const removeMember = async (work: Work, member: string): Promise<void> => {
  const { vault, record, signal, seen } = work
  const device = record.members[member]?.devid ?? (await takenIn(vault, record.fsid, member))
  if (device !== null) {
    const began = performance.now()
    const mapping = mapperPath(vault.profile.vault, member)
    const known = (fresh: boolean) => readSuperblock(vault.local, mapping, fresh).catch(() => null)
    const allocated = async (): Promise<number | null> => (await known(false))?.allocatedBytes ?? null
    const all = await allocated()
    await removeDevice(vault.local, {
      ...{ at: vault.profile.mount.at, device, signal, limit: limitOf(work) },
      extents: async () => ((await known(true)) === null ? null : readExtents(vault, device, signal)),
      filled: async () => {
        const { diskBytes, givenBytes } = await readChunkTable(record.fsid)
        return diskBytes / Math.max(1, givenBytes)
      },
      look: async () => {
        const left = await allocated()
        if (all === null || left === null) return
        const done = Math.max(0, all - left)
        seen(progressOf('leave', { began, share: done / Math.max(1, all), done, corrected: 0 }))
      },
    })
  }
  await updateRecord(vault.paths.record, (now) => hasLeft(now, work.job, member))
}

/** A newcomer that the kernel took in without our having noted it. @returns its number, or null when it was not */
const takenIn = async (vault: Vault, fsid: string, member: string): Promise<number | null> => {
  const device = mapperPath(vault.profile.vault, member)
  const block = await readSuperblock(vault.local, device, false).catch(() => null)
  return block?.fsid === fsid ? block.devid : null
}

/**
 * The newcomer gets the number of the one that went. Its copy is not trusted yet: what was written while the old one was
 * away may have one copy only, so it is resilvered before anybody says healthy.
 */
const replaceMember = async (work: Work): Promise<void> => {
  const { vault, record, job, signal, seen } = work
  const { joins = '', leaves = '' } = job
  const { vault: name, mount } = vault.profile
  const old = record.members[leaves]
  if (old === undefined) return updateRecord(vault.paths.record, (now) => retiring(now, job))
  const target = mapperPath(name, joins)
  const began = performance.now()
  const done = await readSuperblock(vault.local, target, false)
  // Killed between the kernel's end and our note of it.
  if (done?.fsid !== record.fsid || done.devid !== old.devid) {
    // Not with a dead one: what is stored anew could be put onto it.
    const running = (await replaceState(vault.local, mount.at)).is === 'running'
    if (!running && done?.fsid === record.fsid && done.devid === copyTarget) await unmark(vault.local, target)
    if (!job.failing && !running) await makeRoom(vault.local, mount.at, signal)
    const speed = copySpeed(vault, record)
    await speed.set(await limitOf(work)())
    await replaceDevice(vault.local, {
      at: mount.at,
      device: old.devid,
      target,
      failing: job.failing === true,
      signal,
      seen: async (share) => {
        seen(progressOf('copy', { began, share, done: 0, corrected: 0 }))
        // Given up, the kernel is told so, and its copy ends.
        await speed.set(await limitOf(work)().catch(() => null))
      },
    }).finally(() => speed.putBack())
  }
  await resizeToFull(vault.local, mount.at, old.devid)
  const newcomer = await identityOf(vault, joins, old)
  await updateRecord(vault.paths.record, (now) => tookPlace(now, job, newcomer))
}

/** The kernel's number for a device that is being copied onto. */
const copyTarget = 0

/**
 * A target that did not answer when its copy was given up still says that it belongs to the filesystem, and btrfs would
 * take it for a mounted one. It is ours, and nothing but half a copy is on it.
 */
const unmark = (local: Host, target: string): Promise<void> =>
  must(local, ['wipefs', '--all', '--types', 'btrfs', target])

const identityOf = async (vault: Vault, member: string, old: MemberRecord): Promise<MemberRecord> => {
  await must(vault.local, syncCommand(vault.profile.mount.at).argv)
  const block = await readSuperblock(vault.local, mapperPath(vault.profile.vault, member), true)
  if (block?.devid === old.devid) return memberRecord(vault, member, block)
  throw new Fault(Exit.integrity, `${member} has not taken the place of device ${old.devid}`, { member })
}

/** A device of the filesystem may be larger than the one whose place it took. */
const resizeToFull = (local: Host, at: string, devid: number): Promise<void> =>
  must(local, ['btrfs', 'filesystem', 'resize', `${devid}:max`, at])

const must = (local: Host, argv: readonly string[]): Promise<void> =>
  perform({ on: local, command: { argv, deadline: 600_000 } })
