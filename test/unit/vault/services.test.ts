import { expect, test } from 'vitest'
import { costOf } from '../../../src/host/process.ts'
import { withServices } from '../../../src/vault/services.ts'

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
