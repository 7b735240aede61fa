import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, Fault } from '../fault.ts'

/**
 * Moving data so slowly that people can work beside it: the kernel moves a chunk as fast as it can, and then we wait
 * until the average is what is allowed. The limit is asked for again and again, so that it can be changed meanwhile.
 */

export interface Pace {
  /** Bytes a second; null for as fast as the line is. */
  readonly limit: () => Promise<number | null>
  readonly signal: AbortSignal
  /** Called every two seconds, also while nothing but waiting happens: somebody is at it. */
  readonly look: () => Promise<void>
}

const everyMs = 2000

/** Twenty days, at a look every two seconds. */
const looks = (20 * 24 * 3600 * 1000) / everyMs

/** Waits until so many bytes are no more than is allowed since then. @param began performance.now() of that time */
export const pause = async (bytes: number, began: number, { limit, signal, look }: Pace): Promise<void> => {
  for (let looked = 0; looked < looks && !signal.aborted; looked++) {
    const rate = await limit()
    const left = rate === null ? 0 : (bytes / rate) * 1000 - (performance.now() - began)
    if (left <= 0) return
    await look()
    await sleep(Math.min(left, everyMs), undefined, { signal }).catch(() => {})
  }
}

/**
 * Runs what moves everything in one go, and stops it when somebody sets a limit meanwhile.
 * @param run must heed the signal, by throwing 130, and call the look every few seconds
 * @returns whether it came to its end
 */
export const unlessLimited = async (
  { limit, signal, look }: Pace,
  run: (work: Pick<Pace, 'signal' | 'look'>) => Promise<void>,
): Promise<boolean> => {
  const limited = new AbortController()
  const watch = async (): Promise<void> => {
    if ((await limit()) !== null) limited.abort()
    await look()
  }
  try {
    await run({ signal: AbortSignal.any([signal, limited.signal]), look: watch })
    return true
  } catch (error) {
    if (error instanceof Fault && error.exit === Exit.interrupted && !signal.aborted) return false
    throw error
  }
}
