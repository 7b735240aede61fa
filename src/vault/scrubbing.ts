import { rm } from 'node:fs/promises'
import { readIfThere, writeAtomic } from '../host/files.ts'
import * as v from '../record/validate.ts'
import { type Limits, writeLimits } from '../stack/scrub-limit.ts'

/**
 * A scrub at work, in a file beside the sockets: how far it is, for `status` and for a second `scrub`, which follows it
 * instead of beginning anew; and the limits that were there before, so that they are put back also when it was killed.
 */

export interface Scrubbing {
  /** When it was begun, RFC 3339. */
  readonly since: string
  /** 0 to 1. */
  readonly share: number
  readonly bytes: number
  readonly corrected: number
  readonly etaMs?: number
  /** Limits to put back at the end; none were changed when absent. */
  readonly before?: Limits
}

/** An older note means that nobody is at work. */
const staleAfterMs = 30_000

export const noteScrubbing = (path: string, note: Scrubbing & { readonly at?: number }): Promise<void> =>
  writeAtomic(path, `${JSON.stringify({ at: Date.now(), ...note })}\n`)

/** @returns null when no scrub is at work */
export const readScrubbing = async (path: string): Promise<Scrubbing | null> => {
  const note = await readNote(path)
  return note !== null && Math.abs(Date.now() - note.at) <= staleAfterMs ? note : null
}

const readNote = async (path: string): Promise<(Scrubbing & { at: number }) | null> => {
  const data = v.json((await readIfThere(path).catch(() => null)) ?? '')
  if (!v.object(data) || !v.whole(data.at) || !v.text(data.since)) return null
  const { at, since, share, bytes, corrected, etaMs, before } = data
  if (typeof share !== 'number' || !v.whole(bytes) || !v.whole(corrected)) return null
  return {
    ...{ at, since, share, bytes, corrected },
    ...(v.whole(etaMs) ? { etaMs } : {}),
    ...(isLimits(before) ? { before } : {}),
  }
}

const isLimits = (data: unknown): data is Limits =>
  v.object(data) && Object.entries(data).every(([devid, limit]) => /^\d+$/.test(devid) && v.whole(limit))

/**
 * Forgets the note and puts back the limits that it names. For who holds the lock of scrubs and resilvers: a scrub that
 * was killed must not slow down the next one. Where the filesystem is another one by now there is nothing to put back.
 */
export const endScrubbing = async (path: string, fsid: string): Promise<void> => {
  const note = await readNote(path)
  if (note?.before) await writeLimits(fsid, note.before).catch(() => {})
  await rm(path, { force: true })
}
