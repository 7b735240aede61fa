import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { ScrubState } from '../../../src/stack/scrub.ts'
import { keepResult, readHistory } from '../../../src/vault/scrubbed.ts'
import { endScrubbing, noteScrubbing, readScrubbing } from '../../../src/vault/scrubbing.ts'

const folder = mkdtempSync(join(tmpdir(), 'cloudvault-scrubs-'))
afterAll(() => rmSync(folder, { recursive: true }))

const state = (corrected: number): ScrubState => ({
  status: 'finished',
  bytes: 4096,
  corrected,
  uncorrectable: 0,
})
const found = (blocks: number) => ({ members: [{ member: 'gra', provider: 'ovh', blocks }], damaged: 0 })

test('the last twelve results are kept, the newest first, with the provider that held what was wrong', async () => {
  const path = join(folder, 'scrubs.json')
  for (let run = 1; run <= 14; run++) await keepResult(path, state(run), performance.now(), found(run))
  const history = await readHistory(path)
  expect(history.map(({ corrected }) => corrected)).toEqual([14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3])
  expect(history[0]).toMatchObject({ state: 'finished', members: [{ provider: 'ovh', blocks: 14 }] })
})

test('a history that cannot be read is an empty one; a result that makes no sense is left out', async () => {
  const path = join(folder, 'damaged.json')
  expect(await readHistory(path)).toEqual([])
  for (const text of ['', '{', '[]', '{"results":5}', '{"results":[{"state":"finished"}]}']) {
    writeFileSync(path, text)
    expect(await readHistory(path)).toEqual([])
  }
  await keepResult(path, state(1), performance.now(), found(0))
  expect(await readHistory(path)).toHaveLength(1)
})

const running = { since: '2026-11-22T03:00:00.000Z', share: 0.5, bytes: 4096, corrected: 0 }

test('a scrub at work is seen while it is, and not when its note is old', async () => {
  const path = join(folder, 'scrub.json')
  expect(await readScrubbing(path)).toBeNull()
  await noteScrubbing(path, { ...running, etaMs: 1000, before: { 1: 0, 2: 5 } })
  expect(await readScrubbing(path)).toMatchObject({ ...running, etaMs: 1000, before: { 1: 0, 2: 5 } })
  const old = JSON.parse(readFileSync(path, 'utf8'))
  writeFileSync(path, JSON.stringify({ ...old, at: old.at - 60_000 }))
  expect(await readScrubbing(path)).toBeNull()
  writeFileSync(path, JSON.stringify({ ...old, before: { '../1': 0 } }))
  expect((await readScrubbing(path))?.before).toBeUndefined()
})

test('ending one forgets its note, also where there is nothing to put back', async () => {
  const path = join(folder, 'ended.json')
  await noteScrubbing(path, { ...running, before: { 1: 0 } })
  await endScrubbing(path, '00000000-0000-0000-0000-000000000000')
  await endScrubbing(path, '00000000-0000-0000-0000-000000000000')
  expect(await readScrubbing(path)).toBeNull()
})
