import { describe, expect, test } from 'vitest'
import type { StepEvent } from '../../../src/engine/events.ts'
import type { Finding, Step } from '../../../src/engine/step.ts'
import { applySteps, removeSteps } from '../../../src/server/apply.ts'
import { scriptedHost } from '../support/scripted-host.ts'

const host = scriptedHost('fsn', [])

/** A step whose thing can stand; `log` remembers what was done. */
const step = (name: string, log: string[], first: Finding, more: Partial<Step> = {}): Step => {
  let finding = first
  const action = (text: string, then: Finding) => ({
    on: host,
    text,
    call: async () => {
      log.push(`${text} ${name}`)
      finding = then
    },
  })
  return {
    name,
    needs: [],
    probe: async () => finding,
    up: [action('make', { is: 'present' })],
    down: [action('remove', { is: 'absent' })],
    ...more,
  }
}

const run = () => {
  const events: StepEvent[] = []
  const controller = new AbortController()
  return {
    events,
    controller,
    signal: controller.signal,
    observe: (event: StepEvent) => void events.push(event),
  }
}

describe('applySteps', () => {
  test('makes what is absent, leaves what is present', async () => {
    const log: string[] = []
    const applied = await applySteps(
      [step('a', log, { is: 'absent' }), step('b', log, { is: 'present' })],
      run(),
    )
    expect(applied).toEqual([
      { step: 'a', result: 'made' },
      { step: 'b', result: 'present' },
    ])
    expect(log).toEqual(['make a'])
  })

  test('what differs is refused, exit 5, unless it can be mended', async () => {
    const log: string[] = []
    const differs: Finding = { is: 'differs', found: 'it is another' }
    await expect(applySteps([step('a', log, differs)], run())).rejects.toMatchObject({ exit: 5 })
    const mendable = step('b', log, differs)
    const mended = await applySteps([{ ...mendable, mend: mendable.up }], run())
    expect(mended).toEqual([{ step: 'b', result: 'changed' }])
    expect(log).toEqual(['make b'])
  })

  test('a failed look permits nothing, exit 4', async () => {
    const log: string[] = []
    const unknown = step('a', log, { is: 'unknown', why: 'no answer' })
    await expect(applySteps([unknown], run())).rejects.toMatchObject({ exit: 4 })
    expect(log).toEqual([])
  })

  test('a command that succeeds but makes nothing is a failure', async () => {
    const lying = step('a', [], { is: 'absent' }, { up: [] })
    await expect(applySteps([lying], run())).rejects.toThrow('was made, but it is not there')
  })

  test('an interruption is heard between two steps; what was made stays', async () => {
    const log: string[] = []
    const world = run()
    const second = step('b', log, { is: 'absent' })
    const first = step('a', log, { is: 'absent' })
    const stop = { on: host, text: 'stop', call: async () => world.controller.abort() }
    const done = applySteps([{ ...first, up: [stop, ...first.up] }, second], world)
    await expect(done).rejects.toMatchObject({ exit: 130 })
    expect(log).toEqual(['make a'])
  })
})

describe('removeSteps', () => {
  test('goes from the last to the first and stops at what does not go', async () => {
    const log: string[] = []
    const stuck = { on: host, text: 'stuck', call: () => Promise.reject(new Error('stuck')) }
    const steps = [
      step('a', log, { is: 'present' }),
      step('b', log, { is: 'present' }, { down: [stuck] }),
      step('c', log, { is: 'absent' }),
      step('d', log, { is: 'present' }),
    ]
    await expect(removeSteps(steps, run())).rejects.toThrow('stuck')
    expect(log).toEqual(['remove d'])
  })
})
