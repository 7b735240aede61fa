import { readIfThere, writeAtomic } from '../host/files.ts'
import { updateRecord } from '../record/record.ts'
import * as v from '../record/validate.ts'
import type { ScrubState } from '../stack/scrub.ts'

/**
 * What scrubs have found. The record remembers when everything was last read, so that `status` can say how old its word
 * is; a file beside it the last twelve results, with what each provider held wrong: one that is named again and again
 * is one to leave.
 */

export interface ScrubResult {
  readonly state: 'finished' | 'aborted'
  readonly finishedAt: string
  readonly durationMs: number
  readonly bytes: number
  readonly corrected: number
  readonly uncorrectable: number
  /** Who held how many wrong blocks. Providers as they were then: members come and go. */
  readonly members: readonly { readonly member: string; readonly provider: string; readonly blocks: number }[]
  /** Files and folders that could not be read whole. */
  readonly damaged: number
}

/** A year of monthly ones. */
const kept = 12

/** @param began performance.now() when it was started */
export const noteScrub = (path: string, state: ScrubState, began: number): Promise<void> => {
  const note = summary(state, began)
  return updateRecord(path, (record) => ({ ...record, scrub: note }))
}

const summary = ({ status, bytes, corrected, uncorrectable }: ScrubState, began: number) => ({
  state: status === 'finished' ? ('finished' as const) : ('aborted' as const),
  finishedAt: new Date().toISOString(),
  durationMs: Math.round(performance.now() - began),
  ...{ bytes, corrected, uncorrectable },
})

/** Adds a result to the history. */
export const keepResult = async (
  path: string,
  state: ScrubState,
  began: number,
  found: Pick<ScrubResult, 'members' | 'damaged'>,
): Promise<void> => {
  const results = [{ ...summary(state, began), ...found }, ...(await readHistory(path))].slice(0, kept)
  await writeAtomic(path, `${JSON.stringify({ schema: 'cloudvault.scrub-history/1', results }, null, 2)}\n`)
}

/** The newest first. What cannot be read counts as lost: it is a memory, not a proof. */
export const readHistory = async (path: string): Promise<readonly ScrubResult[]> => {
  const data = v.json((await readIfThere(path).catch(() => null)) ?? '')
  if (!v.object(data) || !Array.isArray(data.results)) return []
  return data.results.filter(isResult).slice(0, kept)
}

const isResult = (data: unknown): data is ScrubResult =>
  v.object(data) &&
  (data.state === 'finished' || data.state === 'aborted') &&
  v.text(data.finishedAt) &&
  [data.durationMs, data.bytes, data.corrected, data.uncorrectable, data.damaged].every(v.whole) &&
  Array.isArray(data.members) &&
  data.members.every(
    (entry) => v.object(entry) && v.text(entry.member) && v.text(entry.provider) && v.whole(entry.blocks),
  )
