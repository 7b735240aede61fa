import { expect, test } from 'vitest'
import { parseBalance, stopBalance } from '../../../src/stack/balance.ts'
import { scrub } from '../../../src/stack/scrub.ts'
import { scriptedHost } from '../support/scripted-host.ts'

/** What btrfs-progs 6.2 answers around scrub and balance, and what we make of it. */

const never = new AbortController().signal
const noStats = 'UUID:             e1b3\n\tno stats available\n\tdata_bytes_scrubbed: 0\n'
const finished =
  'Status:           finished\n\tdata_bytes_scrubbed: 4096\n\ttree_bytes_scrubbed: 4096\n\tcorrected_errors: 3\n'

const machine = (answers: { resume?: number; states: string[] }) => {
  const states = [...answers.states]
  return scriptedHost('here', [
    ['btrfs filesystem sync', {}],
    ['btrfs scrub cancel', { code: 2, stderr: 'ERROR: scrub cancel failed on /m: not running' }],
    ['btrfs scrub resume', { code: answers.resume ?? 0 }],
    ['btrfs scrub start', {}],
    ['btrfs scrub status', () => ({ stdout: states.shift() ?? finished })],
  ])
}
const verbs = (host: { lines: string[] }): string[] => host.lines.map((line) => line.split(' ')[2] ?? '')

test('whatever runs is ended before a scrub begins; "no stats" at the beginning is not its end', async () => {
  const host = machine({ states: [noStats, finished] })
  const state = await scrub(host, '/m', never, { seen: () => {} })
  expect(state).toEqual({ status: 'finished', bytes: 8192, corrected: 3, uncorrectable: 0 })
  expect(verbs(host)).toEqual(['sync', 'cancel', 'start', 'status', 'status'])
})

test('one that was cut off is resumed; when there is none, a new one is begun', async () => {
  const cut = machine({ states: [finished] })
  await scrub(cut, '/m', never, { resume: true, seen: () => {} })
  expect(verbs(cut)).toEqual(['sync', 'cancel', 'resume', 'status'])
  const whole = machine({ resume: 2, states: [finished] })
  await scrub(whole, '/m', never, { resume: true, seen: () => {} })
  expect(verbs(whole)).toEqual(['sync', 'cancel', 'resume', 'start', 'status'])
})

test('how far a balance is', () => {
  const text = "Balance on '/m' is running\n1 out of about 4 chunks balanced (2 considered),  75% left\n"
  expect(parseBalance(text)).toEqual({ done: 1, left: 0.75 })
  expect(parseBalance("No balance found on '/m'\n")).toEqual({ done: 0, left: 1 })
})

test('no balance to end is fine; one that cannot be ended is not', async () => {
  const says = (stderr: string) => scriptedHost('here', [['balance cancel', { code: 2, stderr }]])
  await stopBalance(says("ERROR: balance cancel on '/m' failed: Not in progress"), '/m')
  await expect(stopBalance(says('ERROR: cannot access /m'), '/m')).rejects.toThrow()
})
