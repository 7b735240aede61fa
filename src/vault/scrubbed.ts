import { updateRecord } from '../record/record.ts'
import type { ScrubState } from '../stack/scrub.ts'

/** The record remembers when everything was last read, so that `status` can say how old its word is. */

/** @param began performance.now() when it was started */
export const noteScrub = (path: string, state: ScrubState, began: number): Promise<void> => {
  const { bytes, corrected, uncorrectable } = state
  const note = {
    state: state.status === 'finished' ? ('finished' as const) : ('aborted' as const),
    finishedAt: new Date().toISOString(),
    durationMs: Math.round(performance.now() - began),
    ...{ bytes, corrected, uncorrectable },
  }
  return updateRecord(path, (record) => ({ ...record, scrub: note }))
}
