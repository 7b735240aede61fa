import { describe, expect, it } from 'vitest'
import type { StepEvent } from '../../../src/engine/events.ts'
import { Exit, Fault } from '../../../src/fault.ts'
import { type Group, plainObserver, rowText, stopwatch } from '../../../src/ui/rows.ts'
import { plain, signs } from '../../../src/ui/style.ts'
import { tasks } from '../../../src/ui/tasks.ts'
import { memoryStream, testWorld } from '../support/world.ts'

const groups: Group[] = [
  { group: 'fsn', steps: ['attach fsn', 'open fsn'] },
  { group: 'vault', steps: ['mount'] },
]

const run = (events: StepEvent[]) => async (observe: (event: StepEvent) => void) => {
  for (const event of events) observe(event)
  return 'result'
}

const climb: StepEvent[] = [
  { step: 'attach fsn', state: 'probing' },
  { step: 'attach fsn', state: 'making' },
  { step: 'attach fsn', state: 'made', note: '/dev/nbd0' },
  { step: 'open fsn', state: 'probing' },
  { step: 'open fsn', state: 'present' },
  { step: 'mount', state: 'making' },
  { step: 'mount', state: 'failed', error: new Fault(Exit.decide, 'stale\nsecond line') },
  { step: 'attach fsn', state: 'undoing' },
  { step: 'attach fsn', state: 'undone' },
  { step: 'guard', state: 'skipped' },
]

describe('a run in a log', () => {
  it('is one line per finished step on stderr, and the result comes through', async () => {
    const world = testWorld()
    expect(await tasks(world, 'up photos', groups, run(climb))).toBe('result')
    expect(world.stdout.text).toBe('')
    expect(world.stderr.text).toBe(
      [
        'up photos',
        '✔ fsn: attach fsn: done, /dev/nbd0',
        '✔ fsn: open fsn: already there',
        '✖ mount: failed, stale',
        '← fsn: attach fsn: undone',
        '↓ guard: not reached',
        '',
      ].join('\n'),
    )
  })

  it('tells what was not there and what stays from what was never reached', () => {
    expect(rowText({ step: 'link fsn', state: 'absent' })).toBe('link fsn: was not there')
    expect(rowText({ step: 'kernel', state: 'kept' })).toBe('kernel: stays')
  })

  it('is the same in CI on a terminal, and under a dumb or unmeasured one', async () => {
    const dumb = testWorld({ terminal: true, env: { TERM: 'dumb' } })
    const ci = testWorld({ terminal: true, env: { CI: 'true', NO_COLOR: '1' } })
    const bare = {
      ...testWorld({ env: { NO_COLOR: '1' } }),
      stderr: memoryStream({ isTTY: true, columns: 0 }),
    }
    for (const world of [dumb, ci, bare]) {
      await tasks(world, 'up photos', groups, run(climb))
      expect(world.stderr.text).toContain('\n✔ fsn: attach fsn: done, /dev/nbd0\n')
      expect(world.stderr.text).not.toContain('\u001b')
    }
  })

  it('is silent with --json', async () => {
    const world = testWorld({ terminal: true })
    expect(await tasks(world, 'up', groups, run(climb), { json: true })).toBe('result')
    expect(world.stderr.text + world.stdout.text).toBe('')
  })

  it('throws what the run throws', async () => {
    const error = new Fault(Exit.busy, 'held')
    await expect(tasks(testWorld(), 'up', groups, () => Promise.reject(error))).rejects.toBe(error)
  })

  it('counts undone as success on the way down', async () => {
    const world = testWorld()
    await tasks(world, 'down', groups, run([{ step: 'mount', state: 'undone' }]), { direction: 'down' })
    expect(world.stderr.text).toBe('down\n✔ mount: undone\n')
  })

  it('spells out hostile notes', () => {
    const text = rowText({ step: 'attach', state: 'made', note: 'x\u001b[2J\nforged line' })
    expect(text).toBe('attach: done, x\\x1b[2J forged line')
  })

  it('says how long a step took when it was a second or more, from its first event', () => {
    let now = 0
    const out = memoryStream()
    const observe = plainObserver(out, groups, 'up', signs({}), plain, () => now)
    observe({ step: 'mount', state: 'probing' })
    now = 1500
    observe({ step: 'mount', state: 'making' })
    now = 61_000
    observe({ step: 'mount', state: 'made' })
    observe({ step: 'open fsn', state: 'made' })
    expect(out.text).toBe('+ mount (1 min)\n+ fsn: open fsn\n')
  })

  it('measures a second run of the same step anew', () => {
    let now = 0
    const took = stopwatch(() => now)
    took({ step: 'a', state: 'making' })
    now = 5
    expect(took({ step: 'a', state: 'made' })).toBe(5)
    now = 100
    expect(took({ step: 'a', state: 'undoing' })).toBe(0)
  })
})

describe('a run on a terminal', () => {
  it('ends with a picture grouped per member, and leaves what has no row below it', async () => {
    const world = testWorld({ terminal: true, env: { NO_COLOR: '1', TERM: 'xterm' } })
    await tasks(world, 'up photos', groups, run(climb))
    const last = world.stderr.text.split('\u001b[G').at(-1) ?? ''
    expect(last.replaceAll('\u001b[?25h', '')).toBe(
      [
        '← fsn',
        '  ← attach fsn: undone',
        '  ✔ open fsn: already there',
        '✖ vault',
        '  ✖ mount: failed, stale',
        '↓ guard: not reached',
        '',
      ].join('\n'),
    )
    expect(world.stdout.text).toBe('')
  })

  it('marks what never began, and passes the failure on', async () => {
    const world = testWorld({ terminal: true, env: { NO_COLOR: '1', TERM: 'xterm' } })
    const failing = async (observe: (event: StepEvent) => void) => {
      observe({ step: 'attach fsn', state: 'made' })
      throw new Fault(Exit.busy, 'held')
    }
    await expect(tasks(world, 'up photos', groups, failing)).rejects.toThrow('held')
    const last = world.stderr.text.split('\u001b[G').at(-1) ?? ''
    expect(last).toContain(
      '· fsn\n  ✔ attach fsn\n  ↓ open fsn: not reached\n↓ vault\n  ↓ mount: not reached\n',
    )
  })

  it('installs no signal handler', async () => {
    const world = testWorld({ terminal: true, env: { TERM: 'xterm' } })
    const before = process.listenerCount('SIGINT')
    await tasks(world, 'up photos', groups, async () => {
      expect(process.listenerCount('SIGINT')).toBe(before)
    })
  })
})
