import { setTimeout as sleep } from 'node:timers/promises'
import { commandFailed } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import { syncCommand } from './btrfs.ts'

/**
 * Reads every copy of everything and mends what does not match its checksum from another copy. The kernel does the
 * work and goes on when we are gone; we start it, watch it and read the result.
 */

export interface ScrubState {
  readonly status: 'running' | 'finished' | 'aborted' | 'none'
  readonly bytes: number
  readonly corrected: number
  readonly uncorrectable: number
}

/**
 * What is under way when a scrub is told to end, or when a commit makes it pause, is up to 2,048 blocks. On a copy that
 * missed much the kernel mends them one after the other, each in several round trips: minutes over a slow line.
 */
const underWay = 900_000
const secondsToFinish = 7 * 24 * 3600
/** On a busy machine the first figures come late; until then it says "no stats available". */
const secondsToBegin = 60
/**
 * btrfs-progs first reads what the program of the scrub has noted, and asks the kernel afterwards whether one is at work
 * (cmds/scrub.c): of one that ends between the two it says "interrupted", until that program has noted the end.
 */
const secondsToNoteTheEnd = 30

export interface ScrubOptions {
  /** Go on where an earlier one was cut off, if one was; its counts are in the result. */
  readonly resume?: boolean
  /** Called about once a second with the state so far. */
  readonly seen: (state: ScrubState) => void
}

export const scrub = async (
  local: Host,
  at: string,
  signal: AbortSignal,
  options: ScrubOptions,
): Promise<ScrubState> => {
  // Scrub reads the committed tree only: what was fsynced a moment ago lies in the log until the next commit.
  await must(local, syncCommand(at).argv, syncCommand(at).deadline)
  await stopScrub(local, at)
  await begin(local, at, options.resume === true)
  let interrupted = 0
  for (let second = 0; second < secondsToFinish; second++) {
    const text = await scrubStatus(local, at)
    const state = parseScrub(text)
    options.seen(state)
    const begins = state.status === 'none' && second < secondsToBegin
    interrupted = /^Status:\s+interrupted$/m.test(text) ? interrupted + 1 : 0
    const ends = interrupted > 0 && interrupted < secondsToNoteTheEnd
    if (state.status !== 'running' && !begins && !ends) return state
    if (signal.aborted) {
      throw new Fault(Exit.interrupted, 'stopped watching', {
        stands: 'the scrub goes on in the kernel',
        next: `btrfs scrub status ${at}`,
      })
    }
    await sleep(1000)
  }
  throw new Fault(Exit.unreachable, 'the scrub did not finish within a week')
}

/**
 * Ends a scrub that runs. One whose program was killed goes on in the kernel, and a new one, started beside it, would
 * say "aborted" at once.
 */
export const stopScrub = (local: Host, at: string): Promise<unknown> =>
  must(local, ['btrfs', 'scrub', 'cancel', at], underWay, [0, 2]) // 2: none runs

const begin = async (local: Host, at: string, resume: boolean): Promise<void> => {
  // 2: there is nothing to resume, because none was cut off.
  if (resume && (await must(local, started('resume', at), underWay, [0, 2])) === 0) return
  // -f starts although the record of an interrupted one says "running".
  await must(local, started('start', '-f', at), underWay)
}

/**
 * The program that is left behind to wait for the kernel keeps the output that it was given: read by us, it would let
 * nobody go on before the scrub is at its end.
 */
const aside =
  'f=$(mktemp -p /run) || f=/dev/null; btrfs scrub "$@" > "$f" 2>&1; c=$?; cat "$f" >&2; [ "$f" = /dev/null ] || rm -f "$f"; exit $c'

const started = (...words: string[]): string[] => ['sh', '-c', aside, 'scrub', ...words]

const scrubStatus = async (local: Host, at: string): Promise<string> => {
  const argv = ['btrfs', 'scrub', 'status', '-R', at]
  // It opens the mount point: while a member is silent that waits, and the scrub goes on all the same.
  const output = await local.run({ argv, deadline: underWay })
  if (output.code !== 0) throw commandFailed(local.name, argv, output)
  return output.stdout
}

/** `btrfs scrub status -R`: one counter a line, summed over all devices (btrfs-progs has no JSON for it). */
export const parseScrub = (text: string): ScrubState => {
  const count = (name: string): number =>
    Number(new RegExp(`^\\s*${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0)
  const word = /^Status:\s+(\S+)/m.exec(text)?.[1] ?? 'none'
  return {
    status: word === 'running' || word === 'finished' || word === 'none' ? word : 'aborted',
    bytes: count('data_bytes_scrubbed') + count('tree_bytes_scrubbed'),
    corrected: count('corrected_errors'),
    uncorrectable: count('uncorrectable_errors'),
  }
}

const must = async (
  local: Host,
  argv: readonly string[],
  deadline: number,
  ok: readonly number[] = [0],
): Promise<number> => {
  const output = await local.run({ argv, deadline })
  if (output.code === null || !ok.includes(output.code)) throw commandFailed(local.name, argv, output)
  return output.code
}
