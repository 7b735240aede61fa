import { commandFailed } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import type { Redundancy } from '../profile/profile.ts'
import { mirrorProfiles, readChunkTable, unconverted } from './btrfs.ts'
import { lengthy } from './lengthy.ts'
import { type Pace, pause, unlessLimited } from './pace.ts'

/**
 * Stores chunks anew, as often as they should be. The kernel works as long as somebody waits for it: when that program
 * is killed it stops, after the chunk at hand, and whatever was done stays done. How far it is, only the table of chunks
 * tells: after a kill there is "no balance" and a filesystem of two kinds.
 */

export interface Conversion {
  readonly fsid: string
  readonly at: string
  readonly redundancy: Redundancy
  /** How many members there will be. */
  readonly members: number
  readonly signal: AbortSignal
  /** Bytes of files and metadata that are stored as wanted now, of those that were not at the beginning. */
  readonly seen: (moved: number, all: number) => void
  readonly limit?: Pace['limit']
}

/** What is written meanwhile may get a chunk of the old kind at the last moment. */
const rounds = 3

/** The system chunks and metadata first: small, and without them nothing could be found again. "soft": the rest is left alone. */
export const convert = async (local: Host, wanted: Conversion): Promise<void> => {
  const { fsid, at, redundancy, members } = wanted
  // One that a killed program left behind, or that Btrfs took up again at the mount, would be in the way.
  await stopBalance(local, at)
  const left = async (): Promise<number> => unconverted(await readChunkTable(fsid), redundancy, members)
  const all = await left()
  const look = async (): Promise<void> => wanted.seen(Math.max(0, all - (await left())), all)
  const { data, metadata } = mirrorProfiles(redundancy, members)
  const run: Run = (filters, work = { signal: wanted.signal, look }) =>
    balance(local, at, filters, work.signal, work.look)
  const pace = { limit: wanted.limit ?? (async () => null), signal: wanted.signal, look }
  await tidied(run)
  for (let round = 0; round < rounds; round++) {
    const full = await unlessFull(async () => {
      // By itself: otherwise the kernel may give the last of a disk to a chunk of metadata, then find no room to note that
      // in a system chunk of the new kind, and abort; the filesystem is read-only (seen with 6.1 on small disks).
      await run([`-sconvert=${metadata},soft`])
      await run([`-mconvert=${metadata},soft`])
      await inPieces(pace, left, `-dconvert=${data},soft`, run)
    })
    // What was converted until then left empty chunks behind: once more with their room, and no more.
    if (full !== null && round > 0) throw full
    if (full !== null) await run(empty)
    else if ((await left()) === 0) return
  }
}

/** Chunks that hold nothing are given back; this alone needs no room at all. */
const empty = ['-dusage=0', '-musage=0']

/** Chunks that hold next to nothing as well, at a tenth of their size each: others find room for chunks of their own. */
const compact = ['-dusage=10', '-musage=10']

/** Whether there is room for the little that is moved here, or not: what follows may do with less. */
const tidied = async (run: Run): Promise<void> => {
  await run(empty)
  await unlessFull(() => run(compact))
}

/**
 * Makes room for new chunks: work that goes through the disk chunk by chunk needs another one for what is written
 * meanwhile, and a disk on which everything is given to half-empty chunks would be full.
 */
export const makeRoom = (local: Host, at: string, signal: AbortSignal): Promise<void> =>
  tidied((filters) => balance(local, at, filters, signal, async () => {}))

/** The kernel found no room for a new chunk. */
export class NoRoom extends Fault {}

/** @returns null when the work came to its end */
export const unlessFull = async (work: () => Promise<void>): Promise<NoRoom | null> => {
  try {
    await work()
    return null
  } catch (error) {
    if (error instanceof NoRoom) return error
    throw error
  }
}

type Run = (filters: readonly string[], work?: Pick<Pace, 'signal' | 'look'>) => Promise<void>

/** Without a limit in one go; with one chunk after chunk, so slowly that the average is kept and people can work. */
const inPieces = async (pace: Pace, left: () => Promise<number>, filter: string, run: Run): Promise<void> => {
  for (;;) {
    if ((await pace.limit()) === null) {
      if (await unlessLimited(pace, (work) => run([filter], work))) return
      continue
    }
    const before = await left()
    const began = performance.now()
    await run([`${filter},limit=1`])
    const moved = before - (await left())
    if (moved <= 0) return
    await pause(moved, began, pace)
  }
}

/** @throws Fault 7 when there is no room for it, 6 when somebody ended it */
const balance = async (
  local: Host,
  at: string,
  filters: readonly string[],
  signal: AbortSignal,
  look: () => Promise<void>,
): Promise<void> => {
  // -f: fewer copies of metadata than before are meant. Who asked for it has said so.
  const argv = ['btrfs', 'balance', 'start', '-f', ...filters, at]
  const output = await lengthy(local, argv, { signal, look, stop: () => stopBalance(local, at) })
  if (output.code === 0) return
  if (/no space left/i.test(output.stderr))
    throw new NoRoom(Exit.decide, 'there is not room enough to store everything in the other way', {
      detail: output.stderr,
      stands: 'what was converted stays so, the rest is stored as before; nothing is lost',
    })
  if (/cancell?ed/i.test(output.stderr)) throw endedByOthers('the conversion')
  throw commandFailed(local.name, argv, output)
}

/** `down`, or somebody's btrfs command. */
export const endedByOthers = (what: string): Fault =>
  new Fault(Exit.busy, `${what} was ended by somebody else`, { stands: 'what was done until then stays so' })

/** Ends one that runs or is paused, after the chunk at hand. */
export const stopBalance = async (local: Host, at: string): Promise<void> => {
  const argv = ['btrfs', 'balance', 'cancel', at]
  const output = await local.run({ argv, deadline: 600_000 })
  if (output.code !== 0 && !/not in progress|not running/i.test(output.stderr)) {
    throw commandFailed(local.name, argv, output)
  }
}
