import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { LocalHost } from '../../../src/host/local.ts'
import { stopBalance } from '../../../src/stack/balance.ts'
import { parseReplace } from '../../../src/stack/replace.ts'
import { scrub } from '../../../src/stack/scrub.ts'
import { scriptedHost } from '../support/scripted-host.ts'

vi.mock('node:timers/promises', () => ({ setTimeout: () => Promise.resolve() }))

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
    ['scrub resume', { code: answers.resume ?? 0 }],
    ['scrub start', {}],
    ['btrfs scrub status', () => ({ stdout: states.shift() ?? finished })],
  ])
}
const verbs = (host: { lines: string[] }): string[] =>
  host.lines.map((line) => / (sync|cancel|resume|start|status)\b/.exec(line)?.[1] ?? line)

test('whatever runs is ended before a scrub begins; "no stats" at the beginning is not its end', async () => {
  const host = machine({ states: [noStats, finished] })
  const state = await scrub(host, '/m', never, { seen: () => {} })
  expect(state).toEqual({ status: 'finished', bytes: 8192, corrected: 3, uncorrectable: 0 })
  expect(verbs(host)).toEqual(['sync', 'cancel', 'start', 'status', 'status'])
})

test('"interrupted" of one that has just ended is asked again; of one that was cut off it is believed', async () => {
  const cutOff = 'Status:           interrupted\n\tdata_bytes_scrubbed: 4096\n\tcorrected_errors: 2\n'
  const ending = await scrub(machine({ states: [cutOff, cutOff, finished] }), '/m', never, { seen: () => {} })
  expect(ending).toMatchObject({ status: 'finished', corrected: 3 })
  const killed = await scrub(machine({ states: Array(40).fill(cutOff) }), '/m', never, { seen: () => {} })
  expect(killed).toMatchObject({ status: 'aborted', corrected: 2 })
})

test('one that was cut off is resumed; when there is none, a new one is begun', async () => {
  const cut = machine({ states: [finished] })
  await scrub(cut, '/m', never, { resume: true, seen: () => {} })
  expect(verbs(cut)).toEqual(['sync', 'cancel', 'resume', 'status'])
  const whole = machine({ resume: 2, states: [finished] })
  await scrub(whole, '/m', never, { resume: true, seen: () => {} })
  expect(verbs(whole)).toEqual(['sync', 'cancel', 'resume', 'start', 'status'])
})

test('the program that a scrub leaves behind is not waited for', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cloudvault-scrub-'))
  // As btrfs-progs does it: the child that waits for the kernel keeps the output of its parent.
  const fake = `#!/bin/sh
case "$2" in
start) sleep 20 & echo $! > ${folder}/pid; echo "scrub started on $4" ;;
status) printf 'Status: finished\\n' ;;
esac
`
  writeFileSync(join(folder, 'btrfs'), fake, { mode: 0o755 })
  const began = performance.now()
  try {
    const local = new LocalHost({ PATH: `${folder}:${process.env.PATH}` })
    const state = await scrub(local, '/m', never, { seen: () => {} })
    expect(state.status).toBe('finished')
    expect(performance.now() - began).toBeLessThan(15_000)
  } finally {
    process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')))
    rmSync(folder, { recursive: true })
  }
})

test('how far a replacement is', () => {
  expect(parseReplace('12.5% done, 0 write errs, 0 uncorr. read errs\n')).toEqual({
    is: 'running',
    share: 0.125,
  })
  const ended = 'Started on 22.Nov 06:00:00, finished on 22.Nov 06:01:00, 0 write errs, 0 uncorr. read errs\n'
  expect(parseReplace(ended)).toEqual({ is: 'finished' })
  expect(
    parseReplace('Started on 22.Nov 06:00:00, canceled on 22.Nov 06:01:00 at 3.0%, 0 write errs\n'),
  ).toEqual({ is: 'canceled' })
  expect(parseReplace('Never started\n')).toEqual({ is: 'none' })
})

test('no balance to end is fine; one that cannot be ended is not', async () => {
  const says = (stderr: string) => scriptedHost('here', [['balance cancel', { code: 2, stderr }]])
  await stopBalance(says("ERROR: balance cancel on '/m' failed: Not in progress"), '/m')
  await expect(stopBalance(says('ERROR: cannot access /m'), '/m')).rejects.toThrow()
})
