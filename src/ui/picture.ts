import type { World } from '../cli/world.ts'
import type { KitReport, ScrubReport, ServicesReport, StatusReport, Verdict } from '../vault/status.ts'
import { type Line, memberRows, type Piece } from './members.ts'
import { progressLine } from './progress.ts'
import { escapeLine, hasUnicode, type Paint, painter, plain, type Style, widthOf } from './style.ts'
import { age, bytes, bytesOf, count, duration } from './text.ts'

/**
 * A vault as a picture in plain text. Line one answers whether the data is safe and usable; then where the mirrors
 * are and whether they agree; then history; the last lines are what to type next. Pure: same report, same lines.
 */

export interface Canvas {
  /** Columns to fold at; Infinity for a log. */
  readonly width: number
  readonly unicode: boolean
  readonly paint?: Paint
}

/** What the world's stdout can show. */
export const canvasOf = ({ stdout, env }: Pick<World, 'stdout' | 'env'>): Canvas => ({
  width: widthOf(stdout),
  unicode: hasUnicode(env),
  paint: painter(env, stdout),
})

/** The picture, without line feeds. */
export const picture = (report: StatusReport, canvas: Canvas): string[] => {
  const paint = canvas.paint ?? plain
  return [
    ...headline(report, canvas.width),
    ...memberRows(report.members, canvas),
    ...history(report, canvas),
    ...nextLines(report.next),
  ].map((line) => line.map(([text, style]) => (style ? paint(style, text) : text)).join(''))
}

const colours: Record<Verdict, Style> = {
  healthy: 'green',
  degraded: 'yellow',
  stale: 'yellow',
  resilvering: 'yellow',
  'not mirrored': 'yellow',
  refused: 'red',
  down: 'bold',
}

/** What a verdict means when nobody said why. */
const meanings: Record<Verdict, string> = {
  healthy: '',
  degraded: 'fewer copies than the profile says',
  stale: 'one copy is behind the others',
  resilvering: 'a copy is being brought up to date',
  'not mirrored': 'some data has one copy only',
  refused: 'nothing was mounted',
  down: 'not mounted on this machine',
}

/** Healthy: one line of facts. Anything else: the verdict and its reason first, the facts below. */
const headline = (report: StatusReport, width: number): Line[] => {
  const since =
    report.verdict !== 'healthy' && report.sinceMs !== undefined ? ` ${duration(report.sinceMs)}` : ''
  const lead: Line = [
    [`${escapeLine(report.vault)}   `],
    [report.verdict.toUpperCase(), colours[report.verdict]],
    [since],
  ]
  const indent = '  '
  if (report.verdict === 'healthy')
    return fold(lead, [...facts(report), ...sentences(report.why)], width, indent)
  const [reason = meanings[report.verdict], ...others] = sentences(report.why)
  return [
    ...fold(lead, [reason], width, indent),
    ...others.flatMap((text) => wrapWords(text, width, indent)),
    ...fold([[indent]], facts(report), width, indent),
  ]
}

const sentences = (texts: readonly string[]): string[] => texts.map(escapeLine)

const facts = (report: StatusReport): string[] => [
  report.members.length === 1
    ? `${report.redundancy}, no mirror`
    : `${report.redundancy} on ${count(report.providers, 'provider')}`,
  ...(report.usedBytes !== undefined && report.totalBytes !== undefined
    ? [bytesOf(report.usedBytes, report.totalBytes)]
    : []),
  ...(report.mountedAt ? [escapeLine(report.mountedAt)] : []),
  ...(report.readOnly ? ['read-only'] : []),
  ...(report.mountedMs !== undefined ? [`up ${duration(report.mountedMs)}`] : []),
]

/** Parts behind a lead, three spaces apart; a part that does not fit any more starts a new line. */
const fold = (lead: Line, parts: readonly string[], width: number, indent: string): Line[] => {
  const lines: Piece[][] = [[...lead]]
  let used = lead.reduce((sum, [text]) => sum + text.length, 0)
  for (const part of parts) {
    const atStart = used === indent.length
    if (!atStart && used + 3 + part.length > width) {
      const wrapped = wrapWords(part, width, indent)
      lines.push(...wrapped.map((line) => [...line]))
      used = wrapped.at(-1)?.reduce((sum, [text]) => sum + text.length, 0) ?? 0
      continue
    }
    const gap = atStart ? '' : '   '
    lines.at(-1)?.push([gap + part])
    used += gap.length + part.length
  }
  return lines
}

/** One sentence over as many lines as it needs, broken between words. */
const wrapWords = (text: string, width: number, indent: string): Line[] => {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`
    else lines.push(indent + word)
  }
  return lines.map((line) => [[line]])
}

const history = (report: StatusReport, { width, unicode }: Canvas): Line[] => {
  const now = Date.parse(report.at)
  const parts = [
    ...(report.job?.progress ? [`change  ${progressLine(report.job.progress)}`] : []),
    ...(report.resilver ? [`resilver  ${progressLine(report.resilver)}`] : []),
    ...(report.scrub ? [scrubText(report.scrub, now, unicode)] : []),
    ...(report.kit ? [kitText(report.kit, now)] : []),
    ...servicesText(report.services ?? {}),
  ]
  return parts.length > 0 ? fold([['  ']], parts, width, '  ') : []
}

const scrubText = (scrub: ScrubReport, now: number, unicode: boolean): string => {
  const next = scrub.next ? ` ${unicode ? '·' : '-'} next ${escapeLine(scrub.next)}` : ''
  if (scrub.state === 'never') return `scrub  never run${next}`
  if (scrub.state === 'running') {
    const left = scrub.etaMs === undefined ? '' : `, about ${duration(scrub.etaMs)} left`
    return `scrub  running${scrub.share === undefined ? '' : `, ${Math.floor(scrub.share * 100)} %`}${left}`
  }
  const found = [
    ...(scrub.corrected ? [`${scrub.corrected} repaired`] : []),
    ...(scrub.uncorrectable ? [`${scrub.uncorrectable} beyond repair`] : []),
  ]
  const ended = scrub.finishedAt ? [`${age(now - Date.parse(scrub.finishedAt))} ago`] : []
  const took = scrub.durationMs !== undefined ? ` in ${duration(scrub.durationMs)}` : ''
  const amount = scrub.bytes !== undefined ? [`${bytes(scrub.bytes)}${took}`] : []
  const result = found.length > 0 ? found : ['clean']
  return `scrub  ${[...ended, ...(scrub.state === 'aborted' ? ['not finished'] : result), ...amount].join(', ')}${next}`
}

const kitText = (kit: KitReport, now: number): string => {
  if (kit.state === 'missing') return 'kit  none on record'
  const old = kit.writtenAt ? `${age(now - Date.parse(kit.writtenAt))} old, ` : ''
  return `kit  ${old}${kit.state === 'current' ? 'current' : 'older than the last change'}`
}

/** What is missing is said with the verdict; here is what runs and what it costs. */
const servicesText = ({ monitor, monitorCost, atBoot }: ServicesReport): string[] => [
  ...(monitor === 'running' && monitorCost
    ? [`monitor  ${bytes(monitorCost.memoryBytes)}, ${(monitorCost.cpuShare * 100).toFixed(1)} % of a core`]
    : []),
  ...(atBoot === true ? ['comes up at boot'] : []),
]

/** Commands are never folded: they are there to be copied. */
const nextLines = (next: readonly string[]): Line[] =>
  next.length === 0
    ? [[['next: nothing to do']]]
    : next.map((command, index) => [[`${index === 0 ? 'next' : '  or'}: ${escapeLine(command)}`]])
