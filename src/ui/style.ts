import { styleText } from 'node:util'

/**
 * What a stream can show: colours, and characters beyond ASCII. Decided per stream and from the world's environment,
 * never from process.*, so that a test sees exactly what a person would.
 */

export type Environment = Readonly<Record<string, string | undefined>>
export interface Screen {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'
export type Paint = (style: Style, text: string) => string

/** Paints nothing. */
export const plain: Paint = (_style, text) => text

/** Whether colours go to this stream: NO_COLOR wins, then FORCE_COLOR, then a terminal that is not dumb. */
export const hasColours = (env: Environment, stream: Screen): boolean => {
  if (env.NO_COLOR) return false
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== '0'
  return stream.isTTY === true && env.TERM !== 'dumb'
}

/** Colours for one stream; the text itself when the stream has none. */
export const painter = (env: Environment, stream: Screen): Paint =>
  hasColours(env, stream) ? (style, text) => styleText(style, text, { validateStream: false }) : plain

/** Whether the locale shows UTF-8. LC_ALL beats LC_CTYPE beats LANG; none of them set is the C locale. */
export const hasUnicode = (env: Environment): boolean =>
  /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || 'C')

/** The signs used on the screen, with what stands for them where the locale is not UTF-8. */
const unicodeSigns = {
  cross: '✖',
  tick: '✔',
  skip: '↓',
  undo: '←',
  warn: '⚠',
  wait: '·',
  run: '❯',
  quote: '┆',
  dot: '·',
}
const asciiSigns: typeof unicodeSigns = {
  cross: 'x',
  tick: '+',
  skip: '-',
  undo: '<',
  warn: '!',
  wait: '.',
  run: '>',
  quote: '|',
  dot: '-',
}

export type Signs = typeof unicodeSigns
export const signs = (env: Environment): Signs => (hasUnicode(env) ? unicodeSigns : asciiSigns)

/** Width to fold at: the terminal's (a bare pty says 0 and gets 80), or unlimited where there is none. */
export const widthOf = (stream: Screen): number =>
  stream.isTTY ? stream.columns || 80 : Number.POSITIVE_INFINITY

/**
 * Text from elsewhere (a tool, a server, a file name) made harmless for a terminal: everything invisible (control
 * characters with their escape sequences, direction overrides, lone surrogates, private use) is spelled out. Line
 * feeds and tabs stay.
 */
export const escapeText = (text: string): string =>
  text.replace(/[^\P{C}\n\t]|[\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0
    if (code <= 0xff) return `\\x${code.toString(16).padStart(2, '0')}`
    return `\\u{${code.toString(16)}}`
  })

/** The same for a place that has one line: line feeds and tabs are spelled out or become spaces as well. */
export const escapeLine = (text: string): string => escapeText(text).replace(/\s+/g, ' ').trim()
