import { uptime } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Notices that this machine has slept, or was stopped as a whole (a virtual machine): the clock that counts sleep has
 * gone on further than we waited. No hook of the system's is needed for it, and none can be forgotten.
 */

const everyMs = 5000
/** A busy machine may let a timer wait for some seconds. */
const tellingMs = 20_000

/**
 * @param woke called with the milliseconds that were missed
 * @param clock milliseconds of a clock that goes on while the machine sleeps
 */
export const onWake = async (
  signal: AbortSignal,
  woke: (missedMs: number) => void,
  clock: () => number = () => uptime() * 1000,
  pauseMs = everyMs,
): Promise<void> => {
  let before = clock()
  while (!signal.aborted) {
    await sleep(pauseMs, undefined, { signal }).catch(() => {})
    const now = clock()
    const missed = now - before - pauseMs
    before = now
    if (missed >= tellingMs) woke(missed)
  }
}
