import { rm } from 'node:fs/promises'
import { readIfThere, writeAtomic } from '../host/files.ts'
import type { ResilverPhase } from '../record/record.ts'
import { json, object, whole } from '../record/validate.ts'

/**
 * How far a resilver or a change of members is. Whoever does it writes it into a file beside the sockets every second, so that `status` and a
 * second `resilver` can tell what the monitor is doing. An old file means that nobody is at work.
 */

/** Of a resilver, or of a change of members: everything stored in another way, copied to another member, or moved off one. */
export type WorkPhase = ResilverPhase | 'convert' | 'copy' | 'leave'

export interface Progress {
  readonly phase: WorkPhase
  /** Of this phase, 0 to 1. Every phase begins at 0. */
  readonly share: number
  /** Bytes read or stored anew so far; 0 where the kernel only tells the share. */
  readonly done: number
  /** Blocks mended so far. */
  readonly corrected: number
  /** Milliseconds until the end of this phase, at the speed so far; absent until something can be said. */
  readonly etaMs?: number
}

/** Below this share a guess would be wild. */
const guessFrom = 0.02

/** @param seen `began`: performance.now() at the start of the phase */
export const progressOf = (
  phase: WorkPhase,
  seen: {
    readonly began: number
    readonly share: number
    readonly done: number
    readonly corrected: number
  },
): Progress => {
  const share = Math.min(1, Math.max(0, seen.share))
  const spent = performance.now() - seen.began
  return {
    phase,
    share,
    done: seen.done,
    corrected: seen.corrected,
    ...(share >= guessFrom ? { etaMs: Math.round((spent * (1 - share)) / share) } : {}),
  }
}

const staleAfterMs = 30_000

/** Noted at most once a second; a failure to note is no failure of the work. */
export const progressNotes = (path: string): ((progress: Progress) => void) => {
  let last = Number.NEGATIVE_INFINITY
  let writing = Promise.resolve()
  return (progress) => {
    if (performance.now() - last < 1000) return
    last = performance.now()
    const note = `${JSON.stringify({ at: Date.now(), ...progress })}\n`
    writing = writing.then(() => writeAtomic(path, note)).catch(() => {})
  }
}

export const forgetProgress = (path: string): Promise<void> => rm(path, { force: true })

/** @returns null when nobody is at work on it */
export const readProgress = async (path: string): Promise<Progress | null> => {
  const data = json((await readIfThere(path).catch(() => null)) ?? '')
  if (!object(data) || !whole(data.at) || Math.abs(Date.now() - data.at) > staleAfterMs) return null
  const { phase, share, done, corrected, etaMs } = data
  if (!isPhase(phase)) return null
  if (typeof share !== 'number' || !whole(done) || !whole(corrected)) return null
  return { phase, share, done, corrected, ...(whole(etaMs) ? { etaMs } : {}) }
}

const phases: readonly WorkPhase[] = ['mend', 'mirror', 'prove', 'convert', 'copy', 'leave']

const isPhase = (phase: unknown): phase is WorkPhase => phases.includes(phase as WorkPhase)
