import { commandFailed } from '../engine/action.ts'
import { Exit } from '../fault.ts'
import type { Host } from '../host/host.ts'
import { endedByOthers, makeRoom, NoRoom, unlessFull } from './balance.ts'
import { lengthy } from './lengthy.ts'
import { type Pace, pause, unlessLimited } from './pace.ts'
import type { Extent } from './resize.ts'

/**
 * A device leaves the filesystem: the kernel stores what is on it on the others, chunk by chunk, and forgets it at the
 * end. Cut off, what was moved stays moved, and the next one goes on with the rest.
 */

export interface Leaving extends Pace {
  readonly at: string
  /** Its number in the filesystem; it may be missing. */
  readonly device: number
  /** Where its chunks lie; null when it does not answer, and then no limit is kept: everything has a copy less until it is gone. */
  readonly extents: () => Promise<readonly Extent[] | null>
  /** How much of the chunks is used, 0 to 1: the rest of them is not moved. */
  readonly filled: () => Promise<number>
}

/** @throws NoRoom (7) when the others have no room for it, also with their half-empty chunks given back */
export const removeDevice = async (local: Host, leaving: Leaving): Promise<void> => {
  await stopRemoval(local, leaving.at)
  if ((await unlessFull(() => moveOff(local, leaving))) === null) return
  await makeRoom(local, leaving.at, leaving.signal)
  await moveOff(local, leaving)
}

const moveOff = async (local: Host, leaving: Leaving): Promise<void> => {
  for (;;) {
    const rest = (await chunkByChunk(local, leaving)) ? { ...leaving, limit: async () => null } : leaving
    if (await unlessLimited(rest, (work) => run(local, leaving, removal(leaving), work))) return
  }
}

const removal = ({ device, at }: Leaving): string[] => ['btrfs', 'device', 'remove', `${device}`, at]

/** The kernel makes no device smaller than this. */
const smallest = 256 * 1024 * 1024

/** The chunk at the end of a device that can be cut off; null when what is left is too small for that. */
const lastChunk = async ({ extents }: Leaving): Promise<Extent | null> => {
  const [last] = [...((await extents()) ?? [])].sort((a, b) => b.start - a.start)
  return last === undefined || last.start < smallest ? null : last
}

/**
 * With a limit its end is moved in by one chunk after the other. A removal that is stopped and begun again would not do:
 * between two of them the emptiest device is the one that goes, and new chunks would be put there.
 * @returns whether so little is left that it may go at once; false when there is no limit
 */
const chunkByChunk = async (local: Host, leaving: Leaving): Promise<boolean> => {
  while ((await leaving.limit()) !== null) {
    const last = await lastChunk(leaving)
    if (last === null) return true
    const moved = last.length * (await leaving.filled())
    const began = performance.now()
    const argv = ['btrfs', 'filesystem', 'resize', `${leaving.device}:${last.start}`, leaving.at]
    await run(local, leaving, argv, leaving)
    await pause(moved, began, leaving)
  }
  return false
}

const run = async (
  local: Host,
  { at }: Leaving,
  argv: readonly string[],
  { signal, look }: Pick<Pace, 'signal' | 'look'>,
): Promise<void> => {
  const output = await lengthy(local, argv, {
    signal,
    look,
    stop: () => stopRemoval(local, at),
    zeroIsDone: true,
  })
  if (output.code === 0) return
  if (/no space left/i.test(output.stderr))
    throw new NoRoom(Exit.decide, 'the other members have not room enough for what is on it', {
      detail: output.stderr,
      stands: 'it is a member as before; what was moved is on the others',
    })
  if (/cancell?ed/i.test(output.stderr)) throw endedByOthers('the removal')
  throw commandFailed(local.name, argv, output)
}

/** Ends one that runs: its device stays in the filesystem, as small as it was made. */
export const stopRemoval = async (local: Host, at: string): Promise<void> => {
  for (const verb of [
    ['device', 'remove'],
    ['filesystem', 'resize'],
  ]) {
    const argv = ['btrfs', ...verb, 'cancel', at]
    const output = await local.run({ argv, deadline: 600_000 })
    // ENOTCONN: there is none. EINPROGRESS: something else has the filesystem to itself, which is not ours to end here.
    if (output.code !== 0 && !/not connected|in progress|not running|cancell?ed/i.test(output.stderr))
      throw commandFailed(local.name, argv, output)
  }
}
