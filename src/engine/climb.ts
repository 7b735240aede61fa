import { Exit, Fault } from '../fault.ts'
import { type Perform, perform } from './action.ts'
import type { Observer } from './events.ts'
import type { Receipt } from './receipt.ts'
import type { Finding, Step } from './step.ts'
import { type Unwound, unwind } from './unwind.ts'
import { walk } from './walk.ts'

/**
 * Brings a plan up, bottom to top: look, note it in the receipt, do it, note it again. When a step fails or a person
 * interrupts, the running commands finish, nothing new is begun, and everything made in this run is undone.
 */

export interface Run {
  readonly receipt: Receipt
  readonly signal: AbortSignal
  readonly observe: Observer
  /** Carries out one action; `perform` of action.ts unless said otherwise. */
  readonly perform?: Perform
}

export interface Climbed {
  readonly made: readonly string[]
  readonly mended: readonly string[]
  readonly present: readonly string[]
}

/** @throws Fault of the first step that failed, with what stands after the unwinding; exit 130 when interrupted */
export const climb = async (steps: readonly Step[], run: Run): Promise<Climbed> => {
  const climbed = { made: [] as string[], mended: [] as string[], present: [] as string[] }
  const begun = new Set<string>()
  const failures: unknown[] = []
  await walk(steps, 'up', async (step) => {
    if (failures.length > 0 || run.signal.aborted) return false
    try {
      climbed[await raise(step, run, begun)].push(step.name)
      return true
    } catch (error) {
      run.observe({ step: step.name, state: 'failed', error: error as Error })
      failures.push(error)
      return false
    }
  })
  if (failures.length === 0 && !run.signal.aborted) return climbed
  const left = await unwind(steps, { ...run, observe: onlyUndoing(run.observe) }, (step) =>
    begun.has(step.name),
  )
  throw failures.length > 0 ? undone(failures[0], left) : interrupted(left)
}

/** In a retreat only what is undone is news: "was not there" must not hide that the step failed. */
const onlyUndoing =
  (observe: Observer): Observer =>
  (event) => {
    if (event.state !== 'absent' && event.state !== 'kept') observe(event)
  }

/** One step: probe, mark, run, mark. Only `absent` permits creation. */
const raise = async (step: Step, run: Run, begun: Set<string>): Promise<keyof Climbed> => {
  run.observe({ step: step.name, state: 'probing' })
  const finding = await step.probe()
  if (finding.is === 'present') {
    const cutOff = run.receipt.state(step.name) === 'making'
    for (const action of cutOff ? (step.settle ?? []) : []) await (run.perform ?? perform)(action)
    for (const action of step.refresh ?? []) await (run.perform ?? perform)(action)
    return keep(step, finding, run)
  }
  if (finding.is === 'differs' && step.mend) {
    run.observe({ step: step.name, state: 'mending', note: finding.found })
    for (const action of step.mend) await (run.perform ?? perform)(action)
    run.observe({ step: step.name, state: 'made', note: 'mended' })
    return 'mended'
  }
  if (finding.is !== 'absent') throw cannotProceed(step, finding)
  run.observe({ step: step.name, state: 'making' })
  begun.add(step.name)
  await run.receipt.mark(step.name, 'making') // survives kill -9 from here on
  for (const action of step.up) await (run.perform ?? perform)(action)
  await run.receipt.mark(step.name, 'made')
  run.observe({ step: step.name, state: 'made' })
  return 'made'
}

/** What bears our name is ours even when the receipt is lost; what has no name of ours was found. */
const keep = async (step: Step, finding: Finding & { is: 'present' }, run: Run): Promise<'present'> => {
  const known = run.receipt.state(step.name)
  const state = known === 'making' ? 'made' : (known ?? (step.shared ? 'found' : 'made'))
  if (state !== known) await run.receipt.mark(step.name, state)
  run.observe({ step: step.name, state: 'present', ...(finding.note ? { note: finding.note } : {}) })
  return 'present'
}

const cannotProceed = (step: Step, finding: Finding): Fault =>
  finding.is === 'differs'
    ? new Fault(Exit.trust, `${step.name}: ${finding.found}`, finding.next ? { next: finding.next } : {})
    : new Fault(
        Exit.unreachable,
        `${step.name}: could not be looked at: ${finding.is === 'unknown' ? finding.why : ''}`,
      )

/** The first failure, completed by the truth about what stands now. */
const undone = (failure: unknown, left: Unwound): unknown => {
  if (!(failure instanceof Fault)) return failure
  return failure.with({ stands: standing(left) })
}

const interrupted = (left: Unwound): Fault =>
  new Fault(Exit.interrupted, 'interrupted; no further step was begun', { stands: standing(left) })

/** "nothing is left behind", or the names of what could not be undone and why. */
export const standing = (left: Unwound): string => {
  const undoneText = left.undone.length > 0 ? `undone: ${left.undone.join(', ')}; ` : ''
  if (left.standing.length === 0) return `${undoneText}nothing of this run is left behind`
  const reasons = left.failures.map((failure) => `${failure.step}: ${failure.error.message}`).join('; ')
  return `${undoneText}still standing: ${left.standing.join(', ')} (${reasons})`
}
