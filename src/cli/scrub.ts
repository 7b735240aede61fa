import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { parseSize } from '../profile/units.ts'
import { writeLimits } from '../stack/scrub-limit.ts'
import { progressLines } from '../ui/progress.ts'
import type { Progress } from '../vault/progress.ts'
import { readHistory } from '../vault/scrubbed.ts'
import { readScrubbing, type Scrubbing } from '../vault/scrubbing.ts'
import { Context, requireRoot } from './context.ts'
import { limitsOf, runScrub } from './scrub-run.ts'
import { showHistory, tellFollowed } from './scrub-words.ts'
import type { World } from './world.ts'

/**
 * `cloudvault scrub`: every copy of everything is read, what is wrong is mended from another copy, and it is said by whom
 * it was held. While one is at work a second one follows it, and may change its speed.
 */

export interface ScrubVerbOptions {
  readonly json?: boolean
  /** "20MiB": bytes a second that each server is read at; "off" for no limit. */
  readonly limit?: string
  /** Show the last results, do nothing. */
  readonly history?: boolean
}

export const scrubVerb = async (world: World, name: string, options: ScrubVerbOptions): Promise<ExitCode> => {
  requireRoot(world, 'scrub', name)
  if (options.history) return showHistory(world, name, options.json === true)
  const limit = limitOf(options.limit)
  // No lock of the vault: a scrub takes hours, and `down` must be able to end it.
  const context = await Context.open(world, name, { change: false })
  try {
    return await runOrFollow(world, context, limit, options.json === true)
  } finally {
    await context.close()
  }
}

/** Below this it would take longer than until the next one. */
const slowest = 1024 * 1024

/** @returns bytes per second, 0 for no limit; null when nothing was said */
const limitOf = (text: string | undefined): number | null => {
  if (text === undefined) return null
  if (text === 'off') return 0
  const parsed = parseSize(text.replace(/\/s$/, ''))
  const wrong =
    'fault' in parsed ? parsed.fault : parsed.value < slowest ? 'is too slow; at least 1MiB' : null
  if ('value' in parsed && wrong === null) return parsed.value
  throw new Fault(Exit.usage, `--limit ${JSON.stringify(text)}: ${wrong}`, {
    stands: 'nothing was changed',
    next: '--limit 20MiB   (bytes a second from each server), or --limit off',
  })
}

/** A week of them, one every two seconds. */
const looks = (7 * 24 * 3600) / 2

/** One at a time, whoever does it; a resilver counts too. */
const runOrFollow = async (
  world: World,
  context: Context,
  limit: number | null,
  json: boolean,
): Promise<ExitCode> => {
  const { vault } = context.profile
  const show = progressLines(world, json)
  let followed: Scrubbing | null = null
  for (let look = 0; look < looks; look++) {
    const lock = await world.local.lock(context.paths.resilverLock, vault).catch((error: unknown) => {
      if (error instanceof Fault && error.exit === Exit.busy) return null
      throw error
    })
    if (lock !== null) {
      try {
        const result = followed && (await resultSince(context, followed.since))
        return result
          ? tellFollowed(world, vault, result, json)
          : await runScrub(world, context, { limit, json, show })
      } finally {
        await lock.release()
      }
    }
    const note = await readScrubbing(context.paths.scrubbing)
    if (note === null && followed === null) throw busy(vault)
    if (note !== null) {
      if (followed === null && limit !== null) await writeLimits(fsidOf(context), limitsOf(context, limit))
      followed = note
      show(progressIn(note))
    }
    await sleep(2000, undefined, { signal: world.signal }).catch(() => {
      throw new Fault(Exit.interrupted, 'stopped watching', { stands: 'the scrub goes on' })
    })
  }
  throw new Fault(Exit.unreachable, 'another scrub did not finish within a week')
}

const busy = (vault: string): Fault =>
  new Fault(Exit.busy, `${vault} is being resilvered, or resized`, {
    stands: 'it goes on',
    next: `cloudvault status ${vault}   (a resilver reads every copy too)`,
  })

const fsidOf = ({ record }: Context): string => record?.fsid ?? ''

const resultSince = async ({ paths }: Context, since: string) =>
  (await readHistory(paths.scrubs)).find(({ finishedAt }) => finishedAt > since)

const progressIn = ({ share, bytes, corrected, etaMs }: Scrubbing): Progress => ({
  phase: 'prove',
  ...{ share, corrected },
  done: bytes,
  ...(etaMs === undefined ? {} : { etaMs }),
})
