import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { readRecord } from '../record/record.ts'
import { jsonLine } from '../ui/json.ts'
import { progressLines } from '../ui/progress.ts'
import { bytes } from '../ui/text.ts'
import { cannotResilver, type Healed, resilverAlone } from '../vault/heal.ts'
import { type Progress, readProgress } from '../vault/progress.ts'
import { Context, requireRoot } from './context.ts'
import type { World } from './world.ts'

/**
 * `cloudvault resilver`: a copy that missed writes is made equal again, and proved. Goes on where one was cut off; while
 * the monitor is at it, it shows how far that is.
 */
export const resilverVerb = async (
  world: World,
  name: string,
  options: { readonly json?: boolean },
): Promise<ExitCode> => {
  requireRoot(world, 'resilver', name)
  // No lock of the vault: the monitor resilvers too, and `down` must be able to end either.
  const context = await Context.open(world, name, { change: false })
  try {
    const { vault } = context.profile
    const why = await cannotResilver(context.vault, context.supervisor)
    if (why !== null) throw new Fault(Exit.decide, why, { next: `cloudvault status ${vault}` })
    const healed = await healOrFollow(world, context, progressLines(world, options.json === true))
    if (options.json) world.stdout.write(jsonLine({ schema: 'cloudvault.resilver/1', vault, ...healed }))
    else
      world.stdout.write(
        `${vault}: ${bytes(healed.bytes)} read, ${healed.corrected} blocks mended; every copy is right\n`,
      )
    return Exit.ok
  } finally {
    await context.close()
  }
}

/** A week of them, one every two seconds. */
const looks = (7 * 24 * 3600) / 2

/** When another one has finished what was to be done, a second time is not needed. */
const healOrFollow = async (
  world: World,
  context: Context,
  seen: (progress: Progress) => void,
): Promise<Healed> => {
  let followed: Pick<Progress, 'corrected' | 'done'> | null = null
  for (let look = 0; look < looks; look++) {
    try {
      const left = (await readRecord(context.paths.record))?.resilver
      if (followed !== null && left === undefined)
        return { corrected: followed.corrected, bytes: followed.done }
      return await resilverAlone(context.vault, world.signal, seen)
    } catch (error) {
      if (!(error instanceof Fault) || error.exit !== Exit.busy) throw error
    }
    const progress = await readProgress(context.paths.progress)
    if (progress) {
      followed = progress
      seen(progress)
    }
    await sleep(2000, undefined, { signal: world.signal }).catch(() => {
      throw new Fault(Exit.interrupted, 'stopped watching', { stands: 'the monitor goes on' })
    })
  }
  throw new Fault(Exit.unreachable, 'another resilver did not finish within a week')
}
