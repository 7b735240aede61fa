import { Exit } from '../fault.ts'

/**
 * What happens on Ctrl-C. First: no further step is begun, the running command finishes or meets its deadline, what
 * this run made is undone. Second: nobody waits any more; the receipt knows what stands.
 */

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** @param say prints one line for the person who pressed */
export const interruption = (say: (text: string) => void): AbortSignal => {
  const controller = new AbortController()
  const heard = (): void => {
    if (controller.signal.aborted) {
      say('not waiting any longer; the next `cloudvault up` or `down` finishes what is half done')
      process.exit(Exit.interrupted)
    }
    say('stopping after the running step; once more: stop waiting')
    controller.abort()
  }
  for (const name of signals) process.on(name, heard)
  return controller.signal
}
