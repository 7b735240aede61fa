import { setTimeout as sleep } from 'node:timers/promises'

/** What this process costs, said to the journal: once it has settled, then once a day, and whenever SIGUSR2 asks. */

const settledMs = 60_000
const everyMs = 24 * 3600 * 1000

export const tellFigures = async (signal: AbortSignal, say: (line: string) => void): Promise<void> => {
  let measure = measuring()
  const tell = (): void => {
    say(measure())
    measure = measuring()
  }
  process.on('SIGUSR2', tell)
  for (let pause = settledMs; !signal.aborted; pause = everyMs) {
    await sleep(pause, undefined, { signal }).catch(() => {})
    if (!signal.aborted) tell()
  }
  process.off('SIGUSR2', tell)
}

/** @returns what to call for a line about the time since now */
const measuring = (): (() => string) => {
  const [cpu, began] = [process.cpuUsage(), performance.now()]
  return () => {
    const { user, system } = process.cpuUsage(cpu)
    const seconds = (performance.now() - began) / 1000
    const share = (user + system) / 1e6 / seconds
    return figuresLine(process.memoryUsage.rss(), share, seconds)
  }
}

/** @param share of one core, 0 to 1 */
export const figuresLine = (bytes: number, share: number, seconds: number): string =>
  `this monitor: ${Math.round(bytes / 1e6)} MB of memory, ${(share * 100).toFixed(2)} % of a core in the last ${Math.round(seconds)} s`
