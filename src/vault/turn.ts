import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, Fault } from '../fault.ts'
import type { Vault } from '../stack/vault.ts'

/**
 * One at a time replaces a member's connection: the monitor after an outage, or a verb that restarts its export. Without
 * a turn each would fence off what the other has just made.
 */

/**
 * @param waitMs milliseconds to wait for the other one
 * @param work is told whether there was another one: what it came for may be done
 * @throws Fault 6 when the other one takes longer
 */
export const inTurn = async <T>(
  { local, paths }: Pick<Vault, 'local' | 'paths'>,
  member: string,
  waitMs: number,
  work: (waited: boolean) => Promise<T>,
): Promise<T> => {
  const take = async (ms: number) => {
    try {
      return await local.lock(paths.turn(member), member, ms)
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      return error
    }
  }
  let lock = await take(0)
  const waited = lock instanceof Fault && lock.exit === Exit.busy
  if (waited) lock = await take(waitMs)
  if (lock instanceof Fault && lock.exit === Exit.busy) throw lock
  try {
    return await work(waited)
  } finally {
    // Where no lock can be made (no room in /run), a connection is worth more than the order.
    if (!(lock instanceof Fault)) await lock.release()
  }
}

/** A fence that comes too late does no harm: the session has another nonce by then, and it is refused. */
export const within = async (ms: number, fence: Promise<void>, member: string): Promise<void> => {
  const over = new AbortController()
  const late = sleep(ms, true, { signal: over.signal }).catch(() => false)
  const done = fence.then(
    () => false,
    (error: unknown) => {
      if (over.signal.aborted) return false
      throw error
    },
  )
  const isLate = await Promise.race([done, late])
  over.abort()
  if (isLate) throw new Fault(Exit.unreachable, 'its server does not answer', { member })
}
