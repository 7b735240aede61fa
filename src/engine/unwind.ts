import { perform } from './action.ts'
import type { Run } from './climb.ts'
import type { Step } from './step.ts'
import { walk } from './walk.ts'

/**
 * Takes a plan down, newest first. A failed undo speaks and keeps everything beneath it standing (nothing is pulled
 * from under a mount); other branches go on.
 */

export interface Unwound {
  readonly undone: readonly string[]
  /** Something was left to do when a person interrupted. */
  readonly interrupted: boolean
  readonly standing: readonly string[]
  readonly failures: readonly { readonly step: string; readonly error: Error }[]
}

type Descent = Pick<Run, 'receipt' | 'observe' | 'perform'>

/**
 * @param chosen which steps may be undone; the receipt has already been asked whether they are ours
 * @param signal once it is aborted, no further step is undone. A retreat has none: what a run made goes to the end
 */
export const unwind = async (
  steps: readonly Step[],
  run: Descent,
  chosen: (step: Step) => boolean,
  signal?: AbortSignal,
): Promise<Unwound> => {
  let interrupted = false
  const undone: string[] = []
  const standing = new Set<string>()
  const failures: { step: string; error: Error }[] = []
  await walk(steps, 'down', async (step) => {
    if (!chosen(step)) return true
    if (signal?.aborted) {
      interrupted = true
      return false
    }
    try {
      if (await lower(step, run)) undone.push(step.name)
      return true
    } catch (error) {
      run.observe({ step: step.name, state: 'failed', error: error as Error })
      failures.push({ step: step.name, error: error as Error })
      standing.add(step.name)
      return false
    }
  })
  // What stands beneath a failed undo was never visited: it stands too.
  const reached = new Set([...undone, ...standing])
  for (const step of steps) {
    if (chosen(step) && !reached.has(step.name) && run.receipt.state(step.name) !== null)
      standing.add(step.name)
  }
  return { undone, interrupted, standing: [...standing], failures }
}

/** @returns whether there was anything to undo */
const lower = async (step: Step, run: Descent): Promise<boolean> => {
  // What has no way down (a kernel module, a file that the next run makes anew) is only forgotten.
  if (step.down.length === 0 || run.receipt.state(step.name) === 'found') {
    await run.receipt.forget(step.name)
    run.observe({ step: step.name, state: 'kept' })
    return false
  }
  const finding = await step.probe()
  if (finding.is === 'absent') {
    await run.receipt.forget(step.name) // a step caught at `making` may never have happened
    run.observe({ step: step.name, state: 'absent' })
    return false
  }
  run.observe({ step: step.name, state: 'undoing' })
  for (const action of step.down) await (run.perform ?? perform)(action)
  await run.receipt.forget(step.name)
  run.observe({ step: step.name, state: 'undone' })
  return true
}
