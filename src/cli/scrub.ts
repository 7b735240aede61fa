import { perform } from '../engine/action.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { type DeviceErrors, readDeviceErrors } from '../stack/btrfs.ts'
import { mountAt } from '../stack/mount.ts'
import { type ScrubState, scrub } from '../stack/scrub.ts'
import { bytes } from '../ui/text.ts'
import { Context, requireRoot } from './context.ts'
import type { World } from './world.ts'

/** `cloudvault scrub`: every copy of everything is read; what is wrong is mended from another copy, and by whom it was held. */
export const scrubVerb = async (
  world: World,
  name: string,
  options: { readonly json?: boolean },
): Promise<ExitCode> => {
  requireRoot(world, 'scrub', name)
  const context = await Context.open(world, name, { change: true })
  try {
    const { vault, mount } = context.profile
    if ((await mountAt(mount.at)) === null || !context.record) {
      throw new Fault(Exit.decide, `${vault} is not mounted`, { next: `cloudvault up ${vault}` })
    }
    const before = await errorsOf(context)
    const state = await scrub(
      world.local,
      mount.at,
      world.signal,
      scrubProgress(world, options.json === true),
    )
    const after = await errorsOf(context)
    const found = [...after].map(([member, errors]) => ({
      member,
      blocks: grown(before.get(member), errors),
    }))
    if (state.uncorrectable === 0 && state.status === 'finished') {
      // Counted and mended: a new error must show as a new one.
      await perform({ on: world.local, command: { argv: ['btrfs', 'device', 'stats', '-z', mount.at] } })
    }
    tell(world, vault, state, found, options.json === true)
    return state.uncorrectable > 0 ? Exit.integrity : Exit.ok
  } finally {
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

/** A line every ten seconds: reads well in a log, and says that it is alive. */
export const scrubProgress = (world: World, quiet: boolean): ((state: ScrubState) => void) => {
  let last = performance.now()
  return (state) => {
    if (quiet || performance.now() - last < 10_000) return
    last = performance.now()
    world.stderr.write(`scrub: ${bytes(state.bytes)} read, ${state.corrected} mended\n`)
  }
}

const tell = (
  world: World,
  vault: string,
  state: ScrubState,
  found: readonly { member: string; blocks: number }[],
  json: boolean,
): void => {
  if (json) {
    world.stdout.write(
      `${JSON.stringify({ schema: 'cloudvault.scrub/1', vault, ...state, members: found })}\n`,
    )
    return
  }
  for (const { member, blocks } of found) {
    if (blocks > 0) world.stdout.write(`${member} held ${blocks} wrong blocks\n`)
  }
  const outcome =
    state.uncorrectable > 0
      ? `${state.uncorrectable} blocks could not be mended; they are wrong on every copy`
      : state.corrected > 0
        ? `${state.corrected} blocks were mended from another copy; every copy is right now`
        : 'every copy of everything is right'
  world.stdout.write(`${vault}: ${bytes(state.bytes)} read; ${outcome}\n`)
}
