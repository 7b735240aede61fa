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

const secondsToFinish = 7 * 24 * 3600

/** @param seen called about once a second with the state so far */
export const scrub = async (
  local: Host,
  at: string,
  signal: AbortSignal,
  seen: (state: ScrubState) => void,
): Promise<ScrubState> => {
  // Scrub reads the committed tree only: what was fsynced a moment ago lies in the log until the next commit.
  await must(local, syncCommand(at).argv, syncCommand(at).deadline)
  // -c 3 would lower our I/O class; -f starts although an older record of an interrupted scrub says "running".
  await must(local, ['btrfs', 'scrub', 'start', '-f', at], 60_000)
  for (let second = 0; second < secondsToFinish; second++) {
    const state = await scrubState(local, at)
    seen(state)
    if (state.status !== 'running') return state
    if (signal.aborted) {
      throw new Fault(Exit.interrupted, 'stopped watching', {
        stands: 'the scrub goes on in the kernel',
        next: `btrfs scrub status ${at}`,
      })
    }
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
  throw new Fault(Exit.unreachable, 'the scrub did not finish within a week')
}

const scrubState = async (local: Host, at: string): Promise<ScrubState> => {
  const argv = ['btrfs', 'scrub', 'status', '-R', at]
  const output = await local.run({ argv })
  if (output.code !== 0) throw commandFailed(local.name, argv, output)
  return parseScrub(output.stdout)
}

/** `btrfs scrub status -R`: one counter a line, summed over all devices (btrfs-progs has no JSON for it). */
export const parseScrub = (text: string): ScrubState => {
  const count = (name: string): number =>
    Number(new RegExp(`^\\s*${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0)
  const word = /^Status:\s+(\S+)/m.exec(text)?.[1] ?? 'none'
  const status = word === 'running' || word === 'finished' ? word : word === 'none' ? 'none' : 'aborted'
  return {
    status,
    bytes: count('data_bytes_scrubbed') + count('tree_bytes_scrubbed'),
    corrected: count('corrected_errors'),
    uncorrectable: count('uncorrectable_errors'),
  }
}

const must = async (local: Host, argv: readonly string[], deadline: number): Promise<void> => {
  const output = await local.run({ argv, deadline })
  if (output.code !== 0) throw commandFailed(local.name, argv, output)
}
