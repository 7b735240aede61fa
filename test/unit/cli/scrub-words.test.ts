import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { scrubVerb } from '../../../src/cli/scrub.ts'
import { tell, tellFollowed } from '../../../src/cli/scrub-words.ts'
import { testWorld } from '../support/world.ts'

const found = [
  { member: 'fsn', provider: 'hetzner', blocks: 0 },
  { member: 'gra', provider: 'ovh', blocks: 76 },
]
const state = { status: 'finished', bytes: 4096, corrected: 76, uncorrectable: 0 } as const
const told = { vault: 'photos', found, damaged: [] }

test('who held what was wrong, and that it is right now: exit 0', () => {
  const world = testWorld()
  expect(tell(world, { ...told, state }, false)).toBe(0)
  expect(world.stdout.text).toBe(
    'gra (ovh) held 76 wrong blocks\nphotos: 4 KiB read; 76 blocks were mended from another copy; every copy is right now\n',
  )
})

test('one that was stopped is not called clean: exit 7; what is beyond repair is exit 8', () => {
  const world = testWorld()
  const stopped = { ...state, status: 'aborted', corrected: 0 } as const
  expect(tell(world, { ...told, found: [], state: stopped }, false)).toBe(7)
  expect(world.stdout.text).toBe('photos: 4 KiB read; it was stopped before its end\n')
  const damaged = ['/vault/photos/a']
  expect(tell(testWorld(), { ...told, state: { ...state, uncorrectable: 2 }, damaged }, true)).toBe(8)
})

test('the result of one that was followed is the same, but for the files', () => {
  const world = testWorld()
  const result = {
    state: 'finished' as const,
    finishedAt: '2026-11-01T03:41:12.120Z',
    durationMs: 18_072_000,
    ...{ bytes: 4096, corrected: 76, uncorrectable: 0, members: found, damaged: 0 },
  }
  expect(tellFollowed(world, 'photos', result, true)).toBe(0)
  expect(JSON.parse(world.stdout.text)).toMatchObject({ status: 'finished', followed: true, members: found })
})

test('the history: when, how much, and at whose provider', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cloudvault-history-'))
  try {
    const env = { CLOUDVAULT_STATE: folder }
    const profile = 'profiles/two-servers.yaml'
    const empty = testWorld({ env })
    expect(await scrubVerb(empty, profile, { history: true })).toBe(0)
    expect(empty.stdout.text).toContain('was not scrubbed from here yet')
    mkdirSync(join(folder, 'photos'))
    const clean = { state: 'finished', finishedAt: '2026-10-04T03:10:00.000Z', durationMs: 60_000 }
    const results = [
      {
        ...clean,
        finishedAt: '2026-11-01T03:41:12.120Z',
        bytes: 1024,
        corrected: 76,
        uncorrectable: 0,
        members: found,
        damaged: 0,
      },
      { ...clean, bytes: 1024, corrected: 0, uncorrectable: 0, members: [], damaged: 0 },
    ]
    writeFileSync(join(folder, 'photos', 'scrubs.json'), JSON.stringify({ results }))
    const world = testWorld({ env })
    await scrubVerb(world, profile, { history: true })
    expect(world.stdout.text).toBe(
      '2026-11-01 03:41  1 KiB in 1 min  76 blocks mended; gra (ovh) held 76 wrong blocks\n2026-10-04 03:10  1 KiB in 1 min  clean\n',
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test.each(['20', '20MB', '1KiB', 'fast', '-1MiB'])(
  '--limit %s is refused before anything is looked at',
  async (limit) => {
    await expect(scrubVerb(testWorld(), 'photos', { limit })).rejects.toMatchObject({ exit: 2 })
  },
)
