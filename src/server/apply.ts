import { perform } from '../engine/action.ts'
import type { Observer } from '../engine/events.ts'
import type { Action, Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'

/**
 * Runs far-side steps one after the other. Unlike a climb here, nothing is undone when one fails: what stands on the
 * server is in its receipt, the next provision goes on from there, and unprovision takes it away.
 */

export interface Applied {
  readonly step: string
  readonly result: 'made' | 'changed' | 'present' | 'removed' | 'absent'
}

interface Run {
  readonly signal: AbortSignal
  readonly observe: Observer
}

/** @throws Fault of the first step that failed; exit 130 when interrupted between steps */
export const applySteps = async (steps: readonly Step[], run: Run): Promise<Applied[]> => {
  const applied: Applied[] = []
  for (const step of steps) {
    applied.push({ step: step.name, result: await watched(step, run, () => raise(step, run)) })
  }
  return applied
}

/** Takes down what stands, last one first. A failed one keeps everything beneath it standing. */
export const removeSteps = async (steps: readonly Step[], run: Run): Promise<Applied[]> => {
  const applied: Applied[] = []
  for (const step of [...steps].reverse()) {
    applied.push({ step: step.name, result: await watched(step, run, () => lower(step, run)) })
  }
  return applied
}

const watched = async <T>(step: Step, run: Run, work: () => Promise<T>): Promise<T> => {
  if (run.signal.aborted) {
    throw new Fault(Exit.interrupted, 'interrupted between two steps', {
      stands: 'what was made so far stays',
      next: 'the same command goes on from there',
    })
  }
  run.observe({ step: step.name, state: 'probing' })
  try {
    return await work()
  } catch (error) {
    run.observe({ step: step.name, state: 'failed', error: error as Error })
    throw error
  }
}

const raise = async (step: Step, run: Run): Promise<Applied['result']> => {
  const finding = await step.probe()
  if (finding.is === 'present') {
    run.observe({ step: step.name, state: 'present', ...(finding.note ? { note: finding.note } : {}) })
    return 'present'
  }
  if (finding.is === 'unknown') {
    throw new Fault(Exit.unreachable, `${step.name}: could not be looked at: ${finding.why}`)
  }
  if (finding.is === 'differs' && !step.mend) {
    throw new Fault(Exit.trust, `${step.name}: ${finding.found}`, {
      stands: 'it was left as it is',
      ...(finding.next ? { next: finding.next } : {}),
    })
  }
  run.observe({ step: step.name, state: finding.is === 'differs' ? 'mending' : 'making' })
  await all(finding.is === 'differs' ? (step.mend ?? []) : step.up)
  await confirm(step)
  run.observe({
    step: step.name,
    state: 'made',
    ...(finding.is === 'differs' ? { note: finding.found } : {}),
  })
  return finding.is === 'differs' ? 'changed' : 'made'
}

/** Looks again: a command that exits 0 has not proved anything yet. */
const confirm = async (step: Step): Promise<void> => {
  const after = await step.probe()
  if (after.is === 'present') return
  const why = after.is === 'differs' ? after.found : after.is === 'unknown' ? after.why : 'it is not there'
  throw new Fault(Exit.unreachable, `${step.name}: was made, but ${why}`)
}

const lower = async (step: Step, run: Run): Promise<Applied['result']> => {
  const finding = await step.probe()
  if (finding.is === 'absent') {
    run.observe({ step: step.name, state: 'undone', note: 'not ours or not there' })
    return 'absent'
  }
  run.observe({ step: step.name, state: 'undoing' })
  await all(step.down)
  run.observe({ step: step.name, state: 'undone' })
  return 'removed'
}

const all = async (actions: readonly Action[]): Promise<void> => {
  for (const action of actions) await perform(action)
}
