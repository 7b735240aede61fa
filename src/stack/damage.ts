import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'

/**
 * Which files are hit when a scrub could not mend everything. The kernel names damaged files too, but no more than ten
 * in five seconds; so every file is read once, as a program would read it, and those that cannot be are the list.
 */

const readingDeadline = 7 * 24 * 3600 * 1000

/**
 * Reads past the page cache: a file whose right bytes are only still in memory is damaged too.
 * @returns absolute paths of files and directories that cannot be read whole, in the order they were met
 * @throws Fault 130 when interrupted
 */
export const damagedFiles = async (local: Host, at: string, signal: AbortSignal): Promise<string[]> => {
  const read = ['dd', 'if={}', 'of=/dev/null', 'bs=1M', 'iflag=direct', 'status=none']
  const argv = ['find', at, '-type', 'f', '!', '-exec', ...read, ';', '-print0']
  const output = await local.run({ argv, deadline: readingDeadline, signal })
  if (signal.aborted) {
    throw new Fault(Exit.interrupted, 'stopped before every file was read', {
      stands: 'nothing was changed',
      next: 'the same command again lists the files that were hit',
    })
  }
  return [...output.stdout.split('\0').filter((path) => path !== ''), ...unreadableFolders(output.stderr)]
}

/** `find: '/vault/photos/album': Input/output error`: what is in there cannot even be listed. */
export const unreadableFolders = (stderr: string): string[] =>
  stderr.split('\n').flatMap((line) => /^find: [‘'"](.+)[’'"]: Input\/output error$/.exec(line)?.[1] ?? [])
