import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { progressLine } from '../../../src/ui/progress.ts'
import { progressNotes, progressOf, readProgress } from '../../../src/vault/progress.ts'

/** How far a resilver is: told by who does it, read by who asks. */

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'progress-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('the rest takes as long as what was done; nothing is guessed at the beginning', () => {
  const began = performance.now() - 60_000
  const half = progressOf('mend', { began, share: 0.5, done: 1024, corrected: 2 })
  expect(half.etaMs).toBeGreaterThan(59_000)
  expect(half.etaMs).toBeLessThan(62_000)
  expect(progressOf('mend', { began, share: 0.001, done: 1, corrected: 0 }).etaMs).toBeUndefined()
  expect(progressOf('mend', { began, share: 7, done: 1, corrected: 0 }).share).toBe(1)
})

test('in a line', () => {
  expect(progressLine({ phase: 'mend', share: 0.437, done: 2048, corrected: 2, etaMs: 125_000 })).toBe(
    'mending (1 of 3): 43 %, 2 KiB read, 2 blocks mended, about 2 min left',
  )
  expect(progressLine({ phase: 'mirror', share: 0, done: 1024, corrected: 0 })).toBe(
    'mirroring (2 of 3): 0 %, 1 KiB stored anew',
  )
  expect(progressLine({ phase: 'copy', share: 0.5, done: 0, corrected: 0, etaMs: 5000 })).toBe(
    'copying to the new member: 50 %, about 5 s left',
  )
})

test('what is noted is read back, until it is too old or damaged', async () => {
  const path = join(folder, 'resilver.json')
  expect(await readProgress(path)).toBeNull()
  const progress = { phase: 'prove', share: 0.5, done: 10, corrected: 0, etaMs: 5 } as const
  progressNotes(path)(progress)
  await expect.poll(() => readProgress(path), { timeout: 10_000 }).toEqual(progress)
  const noted = JSON.parse(await readFile(path, 'utf8'))
  for (const spoilt of ['', '{', JSON.stringify({ ...noted, at: noted.at - 60_000 }), '{"at":1}']) {
    await writeFile(path, spoilt)
    expect(await readProgress(path)).toBeNull()
  }
})
