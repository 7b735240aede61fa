import { expect, test } from 'vitest'
import { costOf } from '../../../src/host/process.ts'
import type { Profile } from '../../../src/profile/profile.ts'
import type { Supervisor } from '../../../src/stack/supervise.ts'
import { startMissingMonitor, withServices } from '../../../src/vault/services.ts'
import { gaveUpWriting } from '../../../src/vault/silent.ts'

const healthy = { verdict: 'healthy', why: [], next: [] } as const

test('a vault that nobody watches is said to be so, with the command that mends it', () => {
  const judged = withServices(healthy, 'photos', { monitor: 'missing', keeper: 'missing', atBoot: true })
  expect(judged).toEqual({
    verdict: 'healthy',
    why: [
      'no monitor runs: an outage would not be sat out',
      'no keeper runs: a shutdown would not take it down first',
    ],
    next: ['cloudvault up photos   starts what is missing and leaves the rest as it is'],
  })
})

test('nothing is said of what runs, or could not be looked at, or of a vault that is down', () => {
  for (const services of [
    { monitor: 'running', keeper: 'running' },
    { monitor: 'unknown' },
    { atBoot: false },
  ] as const)
    expect(withServices(healthy, 'photos', services)).toBe(healthy)
})

test('what a process costs is read from the kernel', async () => {
  const cost = await costOf(process.pid)
  expect(cost?.memoryBytes).toBeGreaterThan(10e6)
  expect(cost?.memoryBytes).toBeLessThan(4e9)
  expect(cost?.cpuShare).toBeGreaterThan(0)
  expect(cost?.cpuShare).toBeLessThan(64)
  expect(await costOf(2 ** 30)).toBeNull()
})

/** A supervisor under which this much runs, and what it was told to start. */
const supervised = (is: 'present' | 'absent' | 'unknown') => {
  const started: string[] = []
  const start: Supervisor['start'] = (name, argv) => [
    { on: { name: 'here' } as never, text: name, call: async () => void started.push(name, ...argv) },
  ]
  const probe = async () => (is === 'unknown' ? ({ is, why: 'no answer' } as const) : ({ is } as const))
  return { started, supervisor: { probe, start } as unknown as Supervisor }
}

/** "/" is mounted on every machine. */
const mountedAt = (at: string) => ({ vault: 'photos', mount: { at } }) as Profile

test('a missing monitor of a mounted vault is started, once and only then', async () => {
  const missing = supervised('absent')
  const watch = ['cloudvault', 'monitor', 'photos']
  expect(await startMissingMonitor({ profile: mountedAt('/'), supervisor: missing.supervisor }, watch)).toBe(
    true,
  )
  expect(missing.started).toEqual(['cv-photos-monitor', ...watch])
  for (const [at, is] of [
    ['/', 'present'],
    ['/', 'unknown'],
    ['/nothing/is/mounted/here', 'absent'],
  ] as const) {
    const { started, supervisor } = supervised(is)
    expect(await startMissingMonitor({ profile: mountedAt(at), supervisor }, watch)).toBe(false)
    expect(started).toEqual([])
  }
})

test('a filesystem that gave up writing is said to be read-only, with the one way back', () => {
  const [why, next] = gaveUpWriting('photos', [{ name: 'gra' }] as never)
  expect(why.join()).toMatch(/is read-only since.*gra does not answer/)
  expect(next).toEqual(['cloudvault down photos, then cloudvault up photos   when gra answers again'])
  expect(gaveUpWriting('photos', [])[1]).toEqual(['cloudvault down photos, then cloudvault up photos'])
})
