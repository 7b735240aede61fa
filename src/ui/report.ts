import type { World } from '../cli/world.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { jsonLine } from './json.ts'
import { escapeLine, escapeText, type Paint, painter, type Signs, signs } from './style.ts'

/**
 * Errors as a person (or with --json a program) reads them. An expected failure says what failed, on which member,
 * what stands and what to type next; only a bug shows a stack. Text from servers and tools is escaped on the way.
 */

/** Lines of a tool's output that reach the screen; the rest is in the log. */
const shownDetail = 8

type ReportWorld = Pick<World, 'stdout' | 'stderr' | 'env'>

/** Prints an error where it belongs and answers the exit code it means. */
export const report = (world: ReportWorld, error: unknown, options: { json?: boolean } = {}): ExitCode => {
  const faults = faultsOf(error)
  if (options.json) world.stdout.write(jsonLine(errorJson(error)))
  else {
    const paint = painter(world.env, world.stderr)
    const text = faults
      ? faults.flatMap((fault) => faultLines(fault, paint, signs(world.env)))
      : bugLines(error, paint, signs(world.env))
    world.stderr.write(`${text.join('\n')}\n`)
  }
  return faults?.[0]?.exit ?? Exit.bug
}

/** The expected failures in an error: itself, or all of an AggregateError; null when any of it is a bug. */
const faultsOf = (error: unknown): readonly Fault[] | null => {
  if (error instanceof Fault) return [error]
  if (error instanceof AggregateError && error.errors.length > 0) {
    const inner = error.errors.map(faultsOf)
    return inner.every((faults) => faults !== null) ? inner.flat() : null
  }
  return null
}

/** The lines of one expected failure. */
const faultLines = (fault: Fault, paint: Paint, sign: Signs): string[] => {
  const { member, stands, next, detail } = fault.details
  const [first = '', ...more] = escapeText(fault.message).split('\n')
  const where = member ? `${escapeLine(member)}: ` : ''
  return [
    `${paint('red', sign.cross)} ${paint('bold', where + first)}`,
    ...more.map((line) => `  ${line}`),
    ...detailLines(detail).map((line) => `  ${paint('dim', `${sign.quote} ${line}`)}`),
    ...(stands ? [`  stands: ${escapeLine(stands)}`] : []),
    ...(next ? [`  next: ${escapeLine(next)}`] : []),
  ]
}

/** The last lines of a tool's output, escaped, empty ones left out. */
const detailLines = (detail: string | undefined): string[] =>
  escapeText((detail ?? '').replaceAll('\r\n', '\n'))
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-shownDetail)

const bugLines = (error: unknown, paint: Paint, sign: Signs): string[] => {
  const trace = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return [
    `${paint('red', sign.cross)} ${paint('bold', 'this is a bug in cloudvault, not a fault of yours')}`,
    ...escapeText(trace)
      .split('\n')
      .map((line) => `  ${line}`),
    '  next: cloudvault status   (what stands now), then please report the lines above',
  ]
}

/** The documented JSON shape of an error, `cloudvault.error/1`. */
const errorJson = (error: unknown): Record<string, unknown> => {
  const faults = faultsOf(error)
  if (!faults?.[0]) {
    const trace = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const what = error instanceof Error ? error.message : String(error)
    return { schema: 'cloudvault.error/1', exit: Exit.bug, bug: true, what, stack: trace.split('\n') }
  }
  const [first, ...others] = faults.map((fault) => ({
    exit: fault.exit,
    what: fault.message,
    ...known(fault),
  }))
  return { schema: 'cloudvault.error/1', ...first, ...(others.length > 0 ? { others } : {}) }
}

const known = (fault: Fault): Record<string, unknown> => {
  const { member, stands, next, detail } = fault.details
  return {
    ...(member ? { member } : {}),
    ...(stands ? { stands } : {}),
    ...(next ? { next } : {}),
    ...(detail ? { detail: detailLines(detail) } : {}),
  }
}
