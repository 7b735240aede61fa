import { setTimeout as sleep } from 'node:timers/promises'
import { type Rates, ratesOf, readTraffic, type Traffic } from '../stack/traffic.ts'
import { jsonLine } from '../ui/json.ts'
import { canvasOf, picture } from '../ui/picture.ts'
import { escapeLine, type Screen } from '../ui/style.ts'
import type { StatusReport } from '../vault/status.ts'
import type { World } from './world.ts'

/**
 * `status --watch`: the picture again and again, with what goes over each line. The kernel's counters are read every
 * two seconds; the whole look, which reads from every member, is taken beside it every ten, so that a server that makes
 * it wait does not stop the clock. It ends by Ctrl-C, which is how a watch ends: exit 0, or by health with --check.
 */

/** Milliseconds. */
const tick = 2000
const ticksPerLook = 5

/** @param everyMs milliseconds between two pictures. @returns the last report */
export const watch = async (
  world: World,
  look: () => Promise<StatusReport>,
  json: boolean,
  everyMs = tick,
): Promise<StatusReport> => {
  world.quiet?.()
  const show = json ? ndjson(world) : world.stdout.isTTY ? redraw(world) : changes(world)
  const rates = rater()
  let report = await look()
  let looking: Promise<void> | null = null
  let failure: unknown
  for (let ticks = 1; !world.signal.aborted; ticks++) {
    show(await rates(report))
    await sleep(everyMs, undefined, { signal: world.signal }).catch(() => {})
    if (failure !== undefined) throw failure
    if (looking !== null || ticks % ticksPerLook !== 0) continue
    looking = look()
      .then((found) => {
        report = found
      })
      .catch((error: unknown) => {
        failure = error
      })
      .finally(() => {
        looking = null
      })
  }
  return report
}

/** Adds to each attached member what went over its device since the last call. */
const rater = (): ((report: StatusReport) => Promise<StatusReport>) => {
  let before = new Map<string, Traffic>()
  return async (report) => {
    const now = new Map<string, Traffic>()
    const members = await Promise.all(
      report.members.map(async (member) => {
        const traffic = member.device === undefined ? null : await readTraffic(member.device)
        if (traffic === null) return member
        now.set(member.name, traffic)
        const last = before.get(member.name)
        const io: Rates | null = last ? ratesOf(last, traffic) : null
        return io ? { ...member, io } : member
      }),
    )
    before = now
    return { ...report, members }
  }
}

type Show = (report: StatusReport) => void

const ndjson =
  ({ stdout }: World): Show =>
  (report) => {
    stdout.write(jsonLine(report))
  }

/** The cursor goes back up over what was drawn, and everything below is drawn anew. */
const redraw = (world: World): Show => {
  const screen: Screen = world.stdout
  let drawn = 0
  return (report) => {
    const lines = picture(report, canvasOf(world))
    const back = drawn > 0 ? `\u001b[${drawn}A` : ''
    world.stdout.write(`${back}\r\u001b[0J${lines.join('\n')}\n`)
    drawn = lines.reduce((sum, line) => sum + rowsOf(line, screen.columns || 80), 0)
  }
}

/** Rows of the terminal that a line takes: commands are never folded by us. */
const rowsOf = (line: string, columns: number): number => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: our own colours
  const width = line.replace(/\u001b\[[0-9;]*m/g, '').length
  return Math.max(1, Math.ceil(width / columns))
}

/** For a log: a line when something is different from before. */
const changes = ({ stdout }: World): Show => {
  let last = ''
  return (report) => {
    const line = oneLine(report)
    if (line !== last) stdout.write(`${report.at.slice(0, 19)}Z ${line}\n`)
    last = line
  }
}

/** "photos DEGRADED: gra does not answer; fsn in sync, gra absent" */
const oneLine = ({ vault, verdict, why, members }: StatusReport): string => {
  const reason = why[0] === undefined ? '' : `: ${why[0]}`
  const each = members.map(
    ({ name, mirror, link }) => `${name} ${link.state === 'up' ? mirror : (link.note ?? 'down')}`,
  )
  return escapeLine(`${vault} ${verdict.toUpperCase()}${reason}; ${each.join(', ')}`)
}
