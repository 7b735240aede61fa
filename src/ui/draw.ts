import {
  DefaultRenderer,
  Listr,
  ListrDefaultRendererLogLevels,
  ListrLogger,
  type ListrTask,
  ListrTaskState,
  ProcessOutput,
  Spinner,
} from 'listr2'
import type { World } from '../cli/world.ts'
import type { Observer, StepEvent, StepState } from '../engine/events.ts'
import { type Direction, type Group, rowText, stopwatch } from './rows.ts'
import { escapeLine, hasUnicode, painter, signs } from './style.ts'

/**
 * The terminal face of a run, drawn by listr2, and the only file that knows it. listr2's own idea of a task (run,
 * fail, roll back, exit) is not used: every row waits until the whole run is over, and the engine's events set its
 * sign from outside. So a row can be done and then be undone again, which listr2's life of a task does not have.
 */

export interface Drawing {
  readonly world: Pick<World, 'stderr' | 'env'>
  readonly groups: readonly Group[]
  readonly direction: Direction
  /** For steps that have no row; written below the picture when it is finished. */
  readonly log: Observer
}

/** The part of a listr2 task that is set from outside. */
interface Row {
  readonly state: ListrTaskState
  state$: ListrTaskState
  title$: string
  message$: object
}

/** listr2 asks whether *stdout* is a terminal; we draw on stderr and have asked ourselves. */
class StderrRenderer extends DefaultRenderer {
  static override nonTTY = true
}

/** What listr2 handed over, and the moment everything may end. */
interface Board {
  readonly rows: Map<string, Row>
  readonly groups: Map<string, Row>
  /** Resolves when every row is on the screen. */
  readonly ready: Promise<void>
  readonly over: Promise<void>
  place(step: string, row: Row): void
  finish(): void
}

/** Draws until the run is over; returns or throws what the run does. */
export const draw = async <T>(drawing: Drawing, run: (observe: Observer) => Promise<T>): Promise<T> => {
  const board = newBoard(drawing.groups.reduce((sum, { steps }) => sum + steps.length, 0))
  const drawn = picture(drawing, board).run()
  await board.ready
  try {
    return await run(observer(drawing, board))
  } finally {
    settle(drawing.groups, board)
    board.finish()
    await drawn
  }
}

const newBoard = (count: number): Board => {
  let showReady = (): void => {}
  let finish = (): void => {}
  const ready = new Promise<void>((resolve) => {
    showReady = resolve
  })
  const over = new Promise<void>((resolve) => {
    finish = resolve
  })
  if (count === 0) showReady()
  const rows = new Map<string, Row>()
  const place = (step: string, row: Row): void => {
    row.state$ = ListrTaskState.WAITING
    rows.set(step, row)
    if (rows.size === count) showReady()
  }
  return { rows, groups: new Map(), ready, over, place, finish: () => finish() }
}

/** One task per member, one subtask per step; none of them does anything but wait for the end. */
const picture = (drawing: Drawing, board: Board): { run(): Promise<unknown> } =>
  new Listr(
    drawing.groups
      .filter(({ steps }) => steps.length > 0)
      .map(
        ({ group, steps }): ListrTask<unknown, typeof StderrRenderer> => ({
          title: escapeLine(group),
          task: (_context, wrapper) => {
            board.groups.set(group, wrapper.task)
            return wrapper.newListr(
              steps.map((step) => ({
                title: escapeLine(step),
                task: (_inner, row) => {
                  board.place(step, row.task)
                  return board.over
                },
              })),
              { concurrent: true, exitOnError: false },
            )
          },
        }),
      ),
    {
      concurrent: true,
      exitOnError: false,
      registerSignalListeners: false, // its handler leaves with exit 127, past our unwinding
      renderer: StderrRenderer,
      rendererOptions: look(drawing),
    },
  )

/** Signs, colours and stream of the picture, from the world and not from listr2's own look at process.*. */
const look = ({ world, direction }: Drawing) => {
  const sign = signs(world.env)
  const paint = painter(world.env, world.stderr)
  const stderr = world.stderr as NodeJS.WriteStream
  const level = ListrDefaultRendererLogLevels
  const undone = direction === 'down' ? sign.tick : sign.undo
  const style = {
    green: [level.COMPLETED, ...(direction === 'down' ? [level.ROLLED_BACK] : [])],
    yellow: [level.PENDING, level.ROLLING_BACK, ...(direction === 'up' ? [level.ROLLED_BACK] : [])],
    red: [level.FAILED, level.FAILED_WITH_FAILED_SUBTASKS, level.COMPLETED_WITH_FAILED_SUBTASKS],
    dim: [level.SKIPPED_WITH_COLLAPSE, level.WAITING],
  } as const
  return {
    collapseSubtasks: false,
    logger: new ListrLogger({
      useIcons: true,
      processOutput: new ProcessOutput(stderr, stderr, { leaveEmptyLine: false }),
    }),
    spinner: spinner(hasUnicode(world.env)),
    icon: {
      [level.COMPLETED]: sign.tick,
      [level.PENDING]: sign.run,
      [level.ROLLED_BACK]: undone,
      [level.FAILED]: sign.cross,
      [level.FAILED_WITH_FAILED_SUBTASKS]: sign.cross,
      [level.COMPLETED_WITH_FAILED_SUBTASKS]: sign.cross,
      [level.SKIPPED_WITH_COLLAPSE]: sign.skip,
      [level.WAITING]: sign.wait,
    },
    color: Object.fromEntries(
      Object.entries(style).flatMap(([name, levels]) =>
        levels.map((one) => [one, (text?: string) => paint(name as keyof typeof style, text ?? '')]),
      ),
    ),
  }
}

const spinner = (unicode: boolean): Spinner => {
  class AsciiSpinner extends Spinner {
    protected override readonly spinner = ['-', '\\', '|', '/']
  }
  return unicode ? new Spinner() : new AsciiSpinner()
}

const states: Record<StepState, ListrTaskState> = {
  probing: ListrTaskState.STARTED,
  present: ListrTaskState.COMPLETED,
  making: ListrTaskState.STARTED,
  made: ListrTaskState.COMPLETED,
  mending: ListrTaskState.STARTED,
  undoing: ListrTaskState.ROLLING_BACK,
  undone: ListrTaskState.ROLLED_BACK,
  absent: ListrTaskState.COMPLETED,
  kept: ListrTaskState.COMPLETED,
  failed: ListrTaskState.FAILED,
  skipped: ListrTaskState.SKIPPED,
}

/** Turns events into the state and the words of a row. */
const observer = ({ log, groups, direction }: Drawing, board: Board): Observer => {
  const took = stopwatch()
  const groupOf = new Map(groups.flatMap(({ group, steps }) => steps.map((step) => [step, group] as const)))
  return (event: StepEvent) => {
    const row = board.rows.get(event.step)
    if (!row) return log(event)
    const spent = took(event)
    const text = event.state === 'probing' ? escapeLine(event.step) : rowText(event, spent)
    row.title$ = text
    if (event.error) row.message$ = { error: text }
    if (event.state === 'skipped') row.message$ = { skip: text }
    row.state$ = states[event.state]
    const group = groupOf.get(event.step) ?? ''
    const above = board.groups.get(group)
    const below = groups.find((one) => one.group === group)?.steps ?? []
    if (above) above.state$ = groupState(below, board.rows, direction)
  }
}

/** A member is done when every row of it is, and failed when one of them is. */
const groupState = (
  steps: readonly string[],
  rows: ReadonlyMap<string, Row>,
  direction: Direction,
): ListrTaskState => {
  const found = steps.map((step) => rows.get(step)?.state)
  if (found.includes(ListrTaskState.FAILED)) return ListrTaskState.FAILED
  const good = direction === 'down' ? ListrTaskState.ROLLED_BACK : ListrTaskState.COMPLETED
  return found.every((state) => state === good || state === ListrTaskState.COMPLETED)
    ? ListrTaskState.COMPLETED
    : ListrTaskState.STARTED
}

/** When the run is over: what never began says so, and a member that is not complete does not look complete. */
const settle = (groups: readonly Group[], board: Board): void => {
  for (const { group, steps } of groups) {
    const unfinished = steps.filter((step) => !over.has(board.rows.get(step)?.state ?? ''))
    for (const step of unfinished) {
      const row = board.rows.get(step)
      if (!row) continue
      row.message$ = { skip: rowText({ step, state: 'skipped' }) }
      row.state$ = ListrTaskState.SKIPPED
    }
    const above = board.groups.get(group)
    if (above?.state !== ListrTaskState.STARTED) continue
    const found = steps.map((step) => board.rows.get(step)?.state)
    if (found.every((state) => state === ListrTaskState.SKIPPED)) {
      above.message$ = { skip: escapeLine(group) }
      above.state$ = ListrTaskState.SKIPPED
    } else if (found.includes(ListrTaskState.ROLLED_BACK)) above.state$ = ListrTaskState.ROLLED_BACK
    else above.state$ = ListrTaskState.WAITING
  }
}

const over: ReadonlySet<string> = new Set([
  ListrTaskState.COMPLETED,
  ListrTaskState.FAILED,
  ListrTaskState.ROLLED_BACK,
  ListrTaskState.SKIPPED,
])
