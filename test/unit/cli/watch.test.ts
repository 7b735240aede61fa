import { expect, test } from 'vitest'
import { watch } from '../../../src/cli/watch.ts'
import type { StatusReport } from '../../../src/vault/status.ts'
import { memoryStream, testWorld } from '../support/world.ts'

const report = (verdict: 'healthy' | 'degraded'): StatusReport => ({
  schema: 'cloudvault.status/1',
  at: '2026-11-22T07:03:04.123Z',
  vault: 'photos',
  verdict,
  why: verdict === 'degraded' ? ['gra does not answer'] : [],
  redundancy: 'raid1',
  providers: 2,
  members: [
    { name: 'fsn', provider: 'hetzner', link: { kind: 'ssh', state: 'up' }, mirror: 'in sync' },
    {
      name: 'gra',
      provider: 'ovh',
      link:
        verdict === 'degraded'
          ? { kind: 'ssh', state: 'down', note: 'no answer' }
          : { kind: 'ssh', state: 'up' },
      mirror: verdict === 'degraded' ? 'absent' : 'in sync',
    },
  ],
  next: [],
})

/** Watches until it was shown so often, with a healthy first look and degraded ones after it. */
const watched = async (json: boolean, terminal: boolean, times: number): Promise<string> => {
  const world = { ...testWorld(), stdout: memoryStream(terminal ? { isTTY: true, columns: 40 } : {}) }
  const controller = new AbortController()
  let shown = 0
  const write = world.stdout.write.bind(world.stdout)
  world.stdout.write = ((text: string) => {
    shown++
    if (shown === times) controller.abort()
    return write(text)
  }) as typeof world.stdout.write
  let looks = 0
  const look = async () => report(looks++ === 0 ? 'healthy' : 'degraded')
  await watch({ ...world, signal: controller.signal }, look, json, 20)
  return world.stdout.text
}

test('with --json: one object a line', async () => {
  const lines = (await watched(true, false, 2)).trim().split('\n')
  expect(lines.map((line) => JSON.parse(line).schema)).toEqual(['cloudvault.status/1', 'cloudvault.status/1'])
})

test('in a log: a line when something has changed', async () => {
  expect((await watched(false, false, 2)).trim().split('\n')).toEqual([
    '2026-11-22T07:03:04Z photos HEALTHY; fsn in sync, gra in sync',
    '2026-11-22T07:03:04Z photos DEGRADED: gra does not answer; fsn in sync, gra no answer',
  ])
})

test('on a terminal: drawn over what was drawn, and nothing below is left', async () => {
  const text = await watched(false, true, 2)
  const [first = '', second = ''] = text.split('\u001b[0J').slice(1)
  const rows = first.split('\n').length - 1
  expect(first).toContain(`\u001b[${rows}A\r`)
  expect(second).toContain('HEALTHY')
})
