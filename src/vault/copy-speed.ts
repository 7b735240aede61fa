import type { RecordData } from '../record/record.ts'
import { type Limits, readLimits, writeLimits } from '../stack/scrub-limit.ts'
import type { Vault } from '../stack/vault.ts'
import { endScrubbing, noteScrubbing } from './scrubbing.ts'

/**
 * How fast a member is copied to the one that takes its place: the kernel reads for it as it reads for a scrub, and
 * keeps the same limit for each device, which may be changed meanwhile.
 */

export interface CopySpeed {
  /** @param limit bytes a second; null for what was there before */
  set(limit: number | null): Promise<void>
  /** What was there before, also after a kill: the next scrub or resilver would be slow as well. */
  putBack(): Promise<void>
}

export const copySpeed = ({ paths }: Vault, { fsid, members }: RecordData): CopySpeed => {
  // The one that goes may be dead, and then the others are read.
  const devids = Object.values(members).map(({ devid }) => devid)
  const putBack = (): Promise<void> => endScrubbing(paths.scrubbing, fsid)
  let now: number | null = null
  return {
    putBack,
    set: async (limit) => {
      if (limit === now) return
      now = limit
      await putBack()
      if (limit === null) return
      // That a wish for quiet is not granted is no reason to end a copy of hours.
      const before = await readLimits(fsid, devids).catch(() => null)
      if (before === null) return
      await noteLimits(paths.scrubbing, before)
      await writeLimits(fsid, Object.fromEntries(devids.map((devid) => [devid, limit]))).catch(() => {})
    },
  }
}

/** The note of a scrub that nobody is at: only what it changed counts, and whoever comes next puts it back. */
const noteLimits = (path: string, before: Limits): Promise<void> =>
  noteScrubbing(path, { at: 0, since: new Date().toISOString(), share: 0, bytes: 0, corrected: 0, before })
