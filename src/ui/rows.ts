import type { Observer, StepEvent, StepState } from '../engine/events.ts'
import { Fault } from '../fault.ts'
import { escapeLine, type Paint, type Signs } from './style.ts'
import { duration } from './text.ts'

/**
 * The words for one step, the same on a terminal and in a log; and the plain face: one line per finished step, no
 * redrawing, no time stamps (the log that catches it has its own).
 */

/** The steps of one member (or of "vault"), in the order they are shown. */
export interface Group {
  readonly group: string
  readonly steps: readonly string[]
}

export interface Out {
  write(text: string): unknown
}

/** Which way a run goes: on the way down "undone" is the aim, on the way up it is the retreat. */
export type Direction = 'up' | 'down'

/** States in which a step is over, as far as is known now. */
const finished: ReadonlySet<StepState> = new Set([
  'present',
  'made',
  'undone',
  'absent',
  'kept',
  'failed',
  'skipped',
])
const isFinished = (state: StepState): boolean => finished.has(state)

const words: Record<StepState, string> = {
  probing: 'looking',
  present: 'already there',
  making: 'working',
  made: 'done',
  mending: 'mending',
  undoing: 'undoing',
  undone: 'undone',
  absent: 'was not there',
  kept: 'stays',
  failed: 'failed',
  skipped: 'not reached',
}

/** "attach fsn", "attach fsn: already there, /dev/nbd0", "mount: failed, no such device". */
export const rowText = (event: StepEvent, tookMs = 0): string => {
  const remarks = [
    ...(event.state === 'made' && !event.note ? [] : [words[event.state]]),
    ...(event.note && event.note !== words[event.state] ? [event.note] : []),
    ...(event.error ? [errorText(event.error)] : []),
  ]
  const took = isFinished(event.state) && tookMs >= 1000 ? ` (${duration(tookMs)})` : ''
  return escapeLine(remarks.length > 0 ? `${event.step}: ${remarks.join(', ')}` : event.step) + took
}

/** First line only: the report after the run says the whole of it. */
const errorText = (error: Error): string =>
  (error instanceof Fault ? error.message : `${error.name}: ${error.message}`).split('\n')[0] ?? ''

/** The sign in front of a finished step. */
const rowSign = (state: StepState, direction: Direction, sign: Signs, paint: Paint): string => {
  if (state === 'failed') return paint('red', sign.cross)
  if (state === 'undone' && direction === 'up') return paint('yellow', sign.undo)
  if (state === 'skipped') return paint('dim', sign.skip)
  return paint('green', sign.tick)
}

/** Measures how long each step has been under way: from its first event to its end. */
export const stopwatch = (now: () => number = () => performance.now()): ((event: StepEvent) => number) => {
  const began = new Map<string, number>()
  return (event) => {
    const start = began.get(event.step) ?? now()
    if (isFinished(event.state)) began.delete(event.step)
    else began.set(event.step, start)
    return now() - start
  }
}

/** An observer that writes one line per finished step, with the member in front. */
export const plainObserver = (
  out: Out,
  groups: readonly Group[],
  direction: Direction,
  sign: Signs,
  paint: Paint,
  now?: () => number,
): Observer => {
  const groupOf = new Map(groups.flatMap(({ group, steps }) => steps.map((step) => [step, group] as const)))
  const took = stopwatch(now)
  return (event) => {
    const spent = took(event)
    if (!isFinished(event.state)) return
    const group = event.group ?? groupOf.get(event.step)
    const where = group && group !== 'vault' ? `${escapeLine(group)}: ` : ''
    out.write(`${rowSign(event.state, direction, sign, paint)} ${where}${rowText(event, spent)}\n`)
  }
}
