import { perform } from '../engine/action.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { type DeviceErrors, readChunkTable, readDeviceErrors } from '../stack/btrfs.ts'
import { damagedFiles } from '../stack/damage.ts'
import { mountAt } from '../stack/mount.ts'
import { type ScrubState, scrub } from '../stack/scrub.ts'
import { jsonLine } from '../ui/json.ts'
import { progressLines } from '../ui/progress.ts'
import { escapeLine } from '../ui/style.ts'
import { bytes, count } from '../ui/text.ts'
import { progressOf } from '../vault/progress.ts'
import { noteScrub } from '../vault/scrubbed.ts'
import { Context, requireRoot } from './context.ts'
import type { World } from './world.ts'

/**
 * `cloudvault scrub`: every copy of everything is read, what is wrong is mended from another copy, and it is said by whom
 * it was held. What cannot be mended is told by the files that are hit.
 */
export const scrubVerb = async (
  world: World,
  name: string,
  options: { readonly json?: boolean },
): Promise<ExitCode> => {
  requireRoot(world, 'scrub', name)
  const context = await Context.open(world, name, { change: true })
  // One scrub at a time: a new one would end that of a resilver.
  const lock = await world.local.lock(context.paths.resilverLock, name).catch(async (error) => {
    await context.close()
    throw error
  })
  try {
    const { vault, mount } = context.profile
    if ((await mountAt(mount.at)) === null || !context.record) {
      throw new Fault(Exit.decide, `${vault} is not mounted`, { next: `cloudvault up ${vault}` })
    }
    const before = await errorsOf(context)
    const { diskBytes } = await readChunkTable(context.record.fsid)
    const began = performance.now()
    const show = progressLines(world, options.json === true)
    const awake = world.local.stayAwake(`every copy of ${vault} is being read`)
    const state = await scrub(world.local, mount.at, world.signal, {
      seen: ({ bytes: done, corrected }) =>
        show(progressOf('prove', { began, share: done / Math.max(1, diskBytes), done, corrected })),
    }).finally(() => awake.release())
    await noteScrub(context.paths.record, state, began)
    const after = await errorsOf(context)
    const found = [...after].map(([member, errors]) => ({
      member,
      blocks: grown(before.get(member), errors),
    }))
    if (state.uncorrectable === 0 && state.status === 'finished') {
      // Counted and mended: a new error must show as a new one.
      await perform({
        on: world.local,
        command: { argv: ['btrfs', 'device', 'stats', '-z', mount.at], deadline: 600_000 },
      })
    }
    const damaged = await hit(world, mount.at, state)
    tell(world, { vault, state, found, damaged }, options.json === true)
    return state.uncorrectable > 0 ? Exit.integrity : Exit.ok
  } finally {
    await lock.release()
    await context.close()
  }
}

const errorsOf = async (context: Context): Promise<Map<string, DeviceErrors | null>> => {
  const { record } = context
  const entries = await Promise.all(
    Object.entries(record?.members ?? {}).map(
      async ([member, { devid }]) => [member, await readDeviceErrors(record?.fsid ?? '', devid)] as const,
    ),
  )
  return new Map(entries)
}

const grown = (before: DeviceErrors | null | undefined, after: DeviceErrors | null): number =>
  after ? after.corruption - (before?.corruption ?? 0) : 0

const hit = async (world: World, at: string, { uncorrectable }: ScrubState): Promise<string[]> => {
  if (uncorrectable === 0) return []
  world.stderr.write(
    `scrub: ${uncorrectable} blocks could not be mended; every file is read, to name those that are hit\n`,
  )
  return damagedFiles(world.local, at, world.signal)
}

interface Told {
  readonly vault: string
  readonly state: ScrubState
  readonly found: readonly { readonly member: string; readonly blocks: number }[]
  /** Files and folders that cannot be read whole. */
  readonly damaged: readonly string[]
}

const tell = (world: World, { vault, state, found, damaged }: Told, json: boolean): void => {
  if (json) {
    world.stdout.write(jsonLine({ schema: 'cloudvault.scrub/1', vault, ...state, members: found, damaged }))
    return
  }
  for (const { member, blocks } of found) {
    if (blocks > 0) world.stdout.write(`${member} held ${blocks} wrong blocks\n`)
  }
  const outcome =
    state.uncorrectable > 0
      ? `${state.uncorrectable} blocks could not be mended`
      : state.corrected > 0
        ? `${state.corrected} blocks were mended from another copy; every copy is right now`
        : 'every copy of everything is right'
  world.stdout.write(`${vault}: ${bytes(state.bytes)} read; ${outcome}\n`)
  if (state.uncorrectable > 0) for (const line of aboutDamage(vault, damaged)) world.stdout.write(`${line}\n`)
}

const aboutDamage = (vault: string, damaged: readonly string[]): string[] =>
  damaged.length === 0
    ? [
        'every file can be read: what is wrong has a right copy elsewhere, but its server does not take it',
        `next: cloudvault status ${vault}   (names the server)`,
      ]
    : [
        `${count(damaged.length, 'file')} cannot be read whole; nothing wrong is ever served instead:`,
        ...damaged.map((path) => `  ${escapeLine(path)}`),
        `next: bring them back from a backup or delete them, then cloudvault scrub ${vault}`,
      ]
