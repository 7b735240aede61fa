import type { Rates } from '../stack/traffic.ts'
import type { DeviceErrors, MemberReport, MirrorState } from '../vault/status.ts'
import type { Canvas } from './picture.ts'
import { escapeLine, type Style } from './style.ts'
import { bar, bytes } from './text.ts'

/**
 * The tree of the status picture: this machine, a branch to every member, and what is known at its end. A member
 * takes one line where all of them fit, two where they do not.
 */

/** A line in pieces, so that colours are laid on after every width has been counted. */
export type Piece = readonly [text: string, style?: Style | undefined]
export type Line = readonly Piece[]

const origin = '  this machine '

/** The whole tree. */
export const memberRows = (members: readonly MemberReport[], canvas: Canvas): Line[] => {
  const names = column(members.map((member) => escapeLine(member.name)))
  const providers = column(members.map((member) => escapeLine(member.provider)))
  const kinds = column(members.map((member) => escapeLine(member.link.kind)))
  const latencies = rightColumn(members.map(latency))
  const far = members.map((member, index) => [
    `${names[index]}  ${providers[index]}  ${kinds[index]}`,
    farEnd(member, latencies[index] ?? '', canvas.unicode),
  ])
  const states = members.map((member) => stateOf(member, canvas.unicode))
  const widths = rightPad(far.map((pieces) => trimmed(pieces.join('  '))))
  const oneLine = members.every(
    (_, index) =>
      origin.length + 4 + (widths[index]?.length ?? 0) + 3 + length(states[index] ?? []) <= canvas.width,
  )
  return members.flatMap((_, index) => {
    const [first, below] = branch(index, members.length, canvas.unicode)
    const state = states[index] ?? []
    const head = oneLine ? (widths[index] ?? '') : trimmed(far[index]?.join('  ') ?? '')
    if (oneLine) return [state.length > 0 ? [[`${first}${head}   `], ...state] : [[trimmed(first + head)]]]
    const lead = below + ' '.repeat((names[index]?.length ?? 0) + 2)
    return [[[first + head]], ...(state.length > 0 ? [[[lead] as const, ...state]] : [])]
  })
}

/** What stands left of a member's first line and of its second one. */
const branch = (index: number, total: number, unicode: boolean): [string, string] => {
  const [only, top, middle, last, pass] = unicode
    ? ['───', '─┬─', ' ├─', ' └─', ' │ ']
    : ['---', '-+-', ' +-', ' `-', ' | ']
  const blank = ' '.repeat(origin.length)
  const isLast = index === total - 1
  const below = `${blank}${isLast ? '   ' : pass} `
  if (total === 1) return [`${origin}${only} `, below]
  if (index === 0) return [`${origin}${top} `, below]
  return [`${blank}${isLast ? last : middle} `, below]
}

/** Latency and fill level of a member that answers; in words why not, of one that does not. */
const farEnd = (member: MemberReport, latencyText: string, unicode: boolean): string => {
  if (member.link.state !== 'up') {
    return escapeLine(member.link.note ?? (member.link.state === 'down' ? 'no answer' : 'not looked at'))
  }
  const { fillBytes, sizeBytes } = member
  if (fillBytes === undefined || !sizeBytes) return latencyText
  const share = fillBytes / sizeBytes
  return `${latencyText}  ${bar(share, unicode)} ${`${Math.round(share * 100)}%`.padStart(3)}`
}

const latency = (member: MemberReport): string => {
  if (member.link.state !== 'up' || member.latencyMs === undefined) return ''
  return member.latencyMs < 1 ? '<1 ms' : `${Math.round(member.latencyMs)} ms`
}

const mirrorWords: Record<MirrorState, Piece> = {
  'in sync': ['in sync', 'green'],
  alone: ['serving alone', 'yellow'],
  stale: ['stale', 'yellow'],
  resilvering: ['resilvering', 'yellow'],
  absent: ['absent', 'yellow'],
  none: ['the only copy'],
  unknown: [''],
}

/** Generation, errors, mirror state and remark: what is known of the copy itself. */
const stateOf = (member: MemberReport, unicode: boolean): Line => {
  const [word, style] = mirrorWords[member.mirror]
  const pieces: Piece[] = [
    ...generation(member, unicode),
    ...(member.errors ? [errorsText(member.errors)] : []),
    ...(word ? [[word, style] as const] : []),
    ...(member.link.state === 'up' && member.link.note ? [[escapeLine(member.link.note)] as const] : []),
    ...(member.note ? [[escapeLine(member.note)] as const] : []),
    ...(member.io ? [[traffic(member.io)] as const] : []),
  ]
  return pieces.flatMap((piece, index) => (index === 0 ? [piece] : [['  '] as const, piece]))
}

/** "read 1.2 MiB/s 13 ms  write 34 KiB/s 40 ms  2 waiting" */
const traffic = ({ readBytesPerS, writeBytesPerS, inFlight, readMs, writeMs }: Rates): string =>
  [
    `read ${bytes(readBytesPerS)}/s${readMs === undefined ? '' : ` ${Math.round(readMs)} ms`}`,
    `write ${bytes(writeBytesPerS)}/s${writeMs === undefined ? '' : ` ${Math.round(writeMs)} ms`}`,
    ...(inFlight > 0 ? [`${inFlight} waiting`] : []),
  ].join('  ')

const generation = (member: MemberReport, unicode: boolean): Piece[] => {
  if (member.generation === undefined) return []
  const behind = member.generationBehind
  const known = `${member.link.state === 'up' ? '' : 'last '}gen ${member.generation}`
  if (behind === undefined) return [[known]]
  if (behind > 0) return [[known], [`${behind} behind`, 'yellow']]
  return [[`${known} ${unicode ? '✓' : 'ok'}`]]
}

const errorsText = (errors: DeviceErrors): Piece => {
  const kinds = Object.entries(errors).filter(([, number]) => number > 0)
  const sum = kinds.reduce((total, [, number]) => total + number, 0)
  if (sum === 0) return ['errors 0']
  return [`errors ${sum} (${kinds.map(([kind, number]) => `${kind} ${number}`).join(', ')})`, 'red']
}

const length = (line: Line): number => line.reduce((sum, [text]) => sum + text.length, 0)
const trimmed = (text: string): string => text.trimEnd()
const widest = (texts: readonly string[]): number => Math.max(0, ...texts.map((text) => text.length))
const rightPad = (texts: readonly string[]): string[] => texts.map((text) => text.padEnd(widest(texts)))
const column = rightPad
const rightColumn = (texts: readonly string[]): string[] => texts.map((text) => text.padStart(widest(texts)))
