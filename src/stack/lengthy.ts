import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, Fault } from '../fault.ts'
import type { Host, Output } from '../host/host.ts'

/**
 * Work of hours that the kernel does for as long as a program waits for it: watched, and stopped by asking the kernel,
 * because killing the program would leave either nothing or a process that nobody can end.
 */
export interface Lengthy {
  readonly signal: AbortSignal
  /** Called about every two seconds while it runs. */
  readonly look: () => Promise<void>
  /** Asks the kernel to end it; it ends after the chunk at hand. */
  readonly stop: () => Promise<void>
  /** Exit 0 means that it came to its end, whoever stopped it meanwhile. Of a balance it does not. */
  readonly zeroIsDone?: boolean
}

/** Somebody's terabytes over somebody's uplink, in milliseconds: 20 days. A timer of Node ends at once beyond 24. */
const deadline = 20 * 24 * 3600 * 1000

const everyMs = 2000

/** @throws Fault 130 when it was interrupted; what was done until then stays done */
export const lengthy = async (
  local: Host,
  argv: readonly string[],
  { signal, look, stop, zeroIsDone }: Lengthy,
): Promise<Output> => {
  const over = new AbortController()
  const running = local.run({ argv, deadline }).finally(() => over.abort())
  const watch = async (): Promise<void> => {
    while (!over.signal.aborted) {
      await sleep(everyMs, undefined, { signal: over.signal }).catch(() => {})
      if (over.signal.aborted) return
      if (signal.aborted) await stop()
      else await look()
    }
  }
  const [output] = await Promise.all([running, watch()])
  if (signal.aborted && !(zeroIsDone && output.code === 0))
    throw new Fault(Exit.interrupted, `${argv.slice(0, 3).join(' ')} was stopped`, {
      stands: 'what was done until now stays so',
    })
  return output
}
