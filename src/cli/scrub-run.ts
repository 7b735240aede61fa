import { perform } from '../engine/action.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { type DeviceErrors, readChunkTable, readDeviceErrors } from '../stack/btrfs.ts'
import { damagedFiles } from '../stack/damage.ts'
import { mountAt } from '../stack/mount.ts'
import { type ScrubState, scrub } from '../stack/scrub.ts'
import { type Limits, readLimits, writeLimits } from '../stack/scrub-limit.ts'
import { type Progress, progressOf } from '../vault/progress.ts'
import { keepResult, noteScrub, type ScrubResult } from '../vault/scrubbed.ts'
import { endScrubbing, noteScrubbing } from '../vault/scrubbing.ts'
import type { Context } from './context.ts'
import { tell } from './scrub-words.ts'
import type { World } from './world.ts'

/** One scrub from its beginning to its report, for who holds the lock of scrubs. */

export interface ScrubRun {
  /** Bytes per second, 0 for none; null: as it is. */
  readonly limit: number | null
  readonly json: boolean
  readonly show: (progress: Progress) => void
}

/** @throws Fault 7 when the vault is not mounted, 130 when nobody watches any more (the scrub goes on, as fast as it was allowed) */
export const runScrub = async (world: World, context: Context, run: ScrubRun): Promise<ExitCode> => {
  const { record, paths } = context
  const { vault, mount } = context.profile
  if ((await mountAt(mount.at)) === null || !record)
    throw new Fault(Exit.decide, `${vault} is not mounted`, { next: `cloudvault up ${vault}` })
  await endScrubbing(paths.scrubbing, record.fsid)
  const before = await errorsOf(context)
  const began = performance.now()
  const state = await watched(world, context, run, began)
  await endScrubbing(paths.scrubbing, record.fsid)
  const found = await wrongBlocks(context, before)
  // Taken down meanwhile: what `down` has proved since must not be written over.
  if ((await mountAt(mount.at)) !== null) await noteScrub(paths.record, state, began)
  if (state.uncorrectable === 0 && state.status === 'finished') {
    // Counted and mended: a new error must show as a new one.
    await perform({
      on: world.local,
      command: { argv: ['btrfs', 'device', 'stats', '-z', mount.at], deadline: 600_000 },
    })
  }
  const damaged = await hit(world, mount.at, state)
  await keepResult(paths.scrubs, state, began, { members: found, damaged: damaged.length })
  return tell(world, { vault, state, found, damaged }, run.json)
}

const watched = async (
  world: World,
  context: Context,
  { limit, show }: ScrubRun,
  began: number,
): Promise<ScrubState> => {
  const { paths, record } = context
  const { vault, mount } = context.profile
  const fsid = record?.fsid ?? ''
  const { diskBytes } = await readChunkTable(fsid)
  const limits = await readLimits(fsid, Object.keys(limitsOf(context, 0)).map(Number)).catch((error) => {
    // Without a wish for one it does not matter that this kernel knows none.
    if (limit !== null) throw error
    return null
  })
  const note = noter(paths.scrubbing, limits)
  await note({ share: 0, done: 0, corrected: 0 })
  if (limit !== null) await writeLimits(fsid, limitsOf(context, limit))
  const awake = world.local.stayAwake(`every copy of ${vault} is being read`)
  return scrub(world.local, mount.at, world.signal, {
    seen: ({ bytes: done, corrected }) => {
      const progress = progressOf('prove', { began, share: done / Math.max(1, diskBytes), done, corrected })
      void note(progress)
      show(progress)
    },
  }).finally(() => awake.release())
}

/** The same limit for every member. */
export const limitsOf = ({ record }: Context, limit: number): Limits =>
  Object.fromEntries(Object.values(record?.members ?? {}).map(({ devid }) => [devid, limit]))

/** One note after the other; that one cannot be written is no failure of the scrub. */
const noter = (path: string, before: Limits | null) => {
  const since = new Date().toISOString()
  let writing: Promise<unknown> = Promise.resolve()
  return ({ share, done, corrected, etaMs }: Omit<Progress, 'phase'>): Promise<unknown> => {
    const note = {
      ...{ since, share, bytes: done, corrected },
      ...(etaMs === undefined ? {} : { etaMs }),
      ...(before ? { before } : {}),
    }
    writing = writing.then(() => noteScrubbing(path, note)).catch(() => {})
    return writing
  }
}

type Errors = ReadonlyMap<string, DeviceErrors | null>

const errorsOf = async ({ record }: Context): Promise<Errors> => {
  const entries = await Promise.all(
    Object.entries(record?.members ?? {}).map(
      async ([member, { devid }]) => [member, await readDeviceErrors(record?.fsid ?? '', devid)] as const,
    ),
  )
  return new Map(entries)
}

const wrongBlocks = async (context: Context, before: Errors): Promise<ScrubResult['members']> =>
  [...(await errorsOf(context))].map(([member, errors]) => ({
    member,
    provider: context.profile.members.find(({ name }) => name === member)?.provider ?? '',
    blocks: errors ? Math.max(0, errors.corruption - (before.get(member)?.corruption ?? 0)) : 0,
  }))

const hit = async (world: World, at: string, { uncorrectable }: ScrubState): Promise<string[]> => {
  if (uncorrectable === 0) return []
  world.stderr.write(
    `scrub: ${uncorrectable} blocks could not be mended; every file is read, to name those that are hit\n`,
  )
  return damagedFiles(world.local, at, world.signal)
}
