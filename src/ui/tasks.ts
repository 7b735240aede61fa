import type { World } from '../cli/world.ts'
import type { Observer } from '../engine/events.ts'
import { type Direction, type Group, plainObserver } from './rows.ts'
import { escapeLine, painter, type Screen, signs } from './style.ts'

/**
 * Shows a run while it happens: rows per member on a terminal, one line per finished step in a log, nothing with
 * --json. It draws and decides nothing: what the run returns or throws comes through untouched, and no signal is
 * caught here.
 */

export interface TasksOptions {
  /** Draw nothing: stdout is for JSON and nobody reads stderr. */
  readonly json?: boolean
  /** Default `up`. */
  readonly direction?: Direction
}

type TasksWorld = Pick<World, 'stderr' | 'env'>

/**
 * Runs something that tells its steps, and shows them on stderr.
 * @param groups which step belongs to which member, in the order to show them; a step that is not in here gets a
 *   plain line of its own
 */
export const tasks = async <T>(
  world: TasksWorld,
  title: string,
  groups: readonly Group[],
  run: (observe: Observer) => Promise<T>,
  options: TasksOptions = {},
): Promise<T> => {
  if (options.json) return run(() => {})
  const direction = options.direction ?? 'up'
  world.stderr.write(`${escapeLine(title)}\n`)
  const log = plainObserver(
    world.stderr,
    groups,
    direction,
    signs(world.env),
    painter(world.env, world.stderr),
  )
  if (!canRedraw(world)) return run(log)
  const { draw } = await import('./draw.ts')
  return draw({ world, groups, direction, log }, run)
}

/** A terminal that understands cursor movements and says how wide it is (a bare pty says 0), with a person in front. */
const canRedraw = ({ stderr, env }: TasksWorld): boolean => {
  const { isTTY, columns = 80 }: Screen = stderr
  return isTTY === true && !env.CI && env.TERM !== 'dumb' && columns >= narrowest
}

const narrowest = 20
