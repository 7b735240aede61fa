import type { RecordData } from '../record/record.ts'
import { nextScrub } from '../stack/scrub-timer.ts'
import type { Looked } from './health.ts'
import { readHistory } from './scrubbed.ts'
import { readScrubbing, type Scrubbing } from './scrubbing.ts'
import type { ScrubReport } from './status.ts'

/** What `status` says about scrubs: the one at work, the last one, those before, the next one. */
export const scrubReport = async (
  { local, paths, profile }: Looked,
  record: RecordData,
  mounted: boolean,
): Promise<ScrubReport> => {
  const running = mounted ? await readScrubbing(paths.scrubbing) : null
  const next = await nextScrub(local, profile.vault)
  const history = await readHistory(paths.scrubs)
  return {
    ...(running ? atWork(running) : (record.scrub ?? { state: 'never' as const })),
    ...(next ? { next: inWords(next), nextAt: next.toISOString() } : {}),
    ...(history.length > 0 ? { history } : {}),
  }
}

const atWork = ({ share, bytes, corrected, etaMs }: Scrubbing) => ({
  state: 'running' as const,
  ...{ share, bytes, corrected },
  ...(etaMs === undefined ? {} : { etaMs }),
})

/** "Sun 6 Dec 03:41", as the clock on the wall shows it. */
const inWords = (when: Date): string => {
  const [weekday, month] = when.toString().split(' ')
  const clock = [when.getHours(), when.getMinutes()].map((part) => `${part}`.padStart(2, '0'))
  return `${weekday} ${when.getDate()} ${month} ${clock.join(':')}`
}
