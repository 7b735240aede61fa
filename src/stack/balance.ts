import { setTimeout as sleep } from 'node:timers/promises'
import { commandFailed } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'

/**
 * Stores chunks anew, as often as they should be. The kernel works as long as somebody waits for it: when that program
 * is killed it stops, after the chunk at hand, and whatever was done stays done.
 */

/** A conversion of single chunks moves gigabytes over somebody's uplink. */
const deadline = 7 * 24 * 3600 * 1000

/** Chunks stored anew; `left` is the kernel's estimate, from 0 to 1. */
export interface BalanceState {
  readonly done: number
  readonly left: number
}

/**
 * Converts what is not stored as wanted ("soft": the rest is left alone).
 * @param seen called about every two seconds while it runs
 */
export const convert = async (
  local: Host,
  at: string,
  wanted: { readonly data: string; readonly metadata: string },
  signal: AbortSignal,
  seen: (state: BalanceState) => void,
): Promise<void> => {
  // One that a killed program left behind, or that Btrfs took up again at the mount, would be in the way.
  await stopBalance(local, at)
  const filters = [`-dconvert=${wanted.data},soft`, `-mconvert=${wanted.metadata},soft`]
  const argv = ['btrfs', 'balance', 'start', ...filters, at]
  let ended = false
  const running = local.run({ argv, deadline }).finally(() => {
    ended = true
  })
  const watch = async (): Promise<void> => {
    while (!ended) {
      await sleep(2000)
      if (signal.aborted) await stopBalance(local, at)
      else if (!ended) seen(await balanceState(local, at))
    }
  }
  const [output] = await Promise.all([running, watch()])
  if (signal.aborted)
    throw new Fault(Exit.interrupted, 'the conversion was stopped', { stands: 'what was converted stays so' })
  if (output.code !== 0) throw commandFailed(local.name, argv, output)
}

/** Ends one that runs or is paused, after the chunk at hand. */
export const stopBalance = async (local: Host, at: string): Promise<void> => {
  const argv = ['btrfs', 'balance', 'cancel', at]
  const output = await local.run({ argv, deadline: 600_000 })
  if (output.code !== 0 && !/not in progress|not running/i.test(output.stderr)) {
    throw commandFailed(local.name, argv, output)
  }
}

const balanceState = async (local: Host, at: string): Promise<BalanceState> =>
  parseBalance((await local.run({ argv: ['btrfs', 'balance', 'status', at], deadline: 120_000 })).stdout)

/** "Balance on '/m' is running\n1 out of about 4 chunks balanced (2 considered),  75% left" */
export const parseBalance = (text: string): BalanceState => {
  const [, done, left] = /(\d+) out of about \d+ chunks balanced .*?(\d+)% left/s.exec(text) ?? []
  return { done: Number(done ?? 0), left: Number(left ?? 100) / 100 }
}
