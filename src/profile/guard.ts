import { CST, isAlias, isMap, isScalar, isSeq, Lexer, type Node, type YAMLMap } from 'yaml'
import type { Path } from './manual.ts'

/**
 * What YAML allows and a profile does not: whatever can blow up, hide or run something (aliases, anchors, tags,
 * merge keys, __proto__, directives, deep nesting), keys given twice, and numbers that read as riddles.
 */

/** Far beyond any honest profile, far below what makes the parser slow or exhausts its recursion. */
const limits = { tokens: 20_000, lines: 20_000, depth: 32, indent: 100 }

export interface Refusal {
  readonly line: number
  readonly column: number
  readonly message: string
}

/** Judges a text by its tokens alone, before the parser sees it. Null: the parser may. */
export const scan = (text: string): Refusal | null => {
  let [line, column, tokens, depth, indicators] = [1, 1, 0, 0, 0]
  for (const token of new Lexer().lex(text)) {
    const type = CST.tokenType(token)
    if (type === 'newline') indicators = 0
    else if (type === 'seq-item-ind' || type === 'explicit-key-ind') indicators++
    else if (type === 'flow-map-start' || type === 'flow-seq-start') depth++
    else if (type === 'flow-map-end' || type === 'flow-seq-end') depth--
    if (type !== 'space' && type !== 'newline' && type !== 'comment') tokens++
    const message = refusal(type, token, column, { line, tokens, depth: Math.max(depth, indicators) })
    if (message) return { line, column, message }
    const breaks = token.split('\n')
    column = breaks.length > 1 ? (breaks.at(-1)?.length ?? 0) + 1 : column + token.length
    line += breaks.length - 1
  }
  return null
}

const refusal = (
  type: string | null,
  token: string,
  column: number,
  seen: { line: number; tokens: number; depth: number },
): string | null => {
  if (type === 'directive-line') return 'directives (%YAML, %TAG) are not allowed; delete the line'
  if (seen.depth > limits.depth) return `is nested deeper than ${limits.depth} levels; that is not a profile`
  if (type === 'space' && column === 1 && token.length > limits.indent)
    return `is indented by more than ${limits.indent} columns; that is not a profile`
  return seen.tokens > limits.tokens || seen.line > limits.lines
    ? `has more than ${limits.lines} lines or words; that is not a profile`
    : null
}

/** One forbidden thing in a parsed document. */
export interface Stranger {
  readonly offset: number
  readonly path: Path
  readonly message: string
  /** The value of the document cannot be made, or not be trusted. */
  readonly fatal: boolean
}

/** Everything in a parsed document that a profile may not have. `lineOf` maps an offset to a 1-based line. */
export const strangers = (contents: unknown, lineOf: (offset: number) => number): Stranger[] => {
  const found: Stranger[] = []
  const add = (node: unknown, path: Path, message: string, fatal = false): void => {
    found.push({ offset: (node as Node | null)?.range?.[0] ?? 0, path, message, fatal })
  }
  const visit = (node: unknown, path: Path): void => {
    if (isAlias(node)) add(node, path, 'aliases (*name) are not allowed; write the value again', true)
    else judgeNode(node, path, add)
    if (isScalar(node)) judgeNumber(node, path, add)
    if (isSeq(node)) for (const [i, item] of node.items.entries()) visit(item, [...path, i])
    if (!isMap(node)) return
    judgeKeys(node, path, add, lineOf)
    for (const { key, value } of node.items) {
      visit(key, path)
      visit(value, isScalar(key) ? [...path, String(key.value)] : path)
    }
  }
  visit(contents, [])
  return found
}

type Add = (node: unknown, path: Path, message: string, fatal?: boolean) => void

const judgeNode = (node: unknown, path: Path, add: Add): void => {
  const { anchor, tag } = (node ?? {}) as { anchor?: string; tag?: string }
  if (anchor) add(node, path, 'anchors (&name) are not allowed; write the value where it is used', true)
  if (tag) add(node, path, 'tags (!…) are not allowed; write the plain value')
}

const forbiddenKeys: Readonly<Record<string, string>> = {
  '<<': 'merge keys (<<) are not allowed; write the keys out',
  ['__proto__']: '__proto__ is not allowed as a key',
  constructor: 'constructor is not allowed as a key',
  prototype: 'prototype is not allowed as a key',
}

const judgeKeys = (
  map: YAMLMap<unknown, unknown>,
  path: Path,
  add: Add,
  lineOf: (offset: number) => number,
): void => {
  const first = new Map<string, number>()
  for (const { key } of map.items) {
    if (!isScalar(key)) {
      add(key, path, 'a key must be a plain word', true)
      continue
    }
    const name = String(key.value)
    const why = Object.hasOwn(forbiddenKeys, name) ? forbiddenKeys[name] : undefined
    if (why) add(key, [...path, name], why, true)
    const line = first.get(name)
    if (line !== undefined) add(key, [...path, name], `is there twice; first at line ${line}`)
    else first.set(name, lineOf(key.range?.[0] ?? 0))
  }
}

/** 0x2A39, 022 and 1e3 are numbers to YAML and riddles to people: only plain decimal is read. */
const judgeNumber = (node: { value: unknown; source?: string }, path: Path, add: Add): void => {
  if (typeof node.value !== 'number' || /^-?(0|[1-9][0-9]*)(\.[0-9]+)?$/.test(node.source ?? '')) return
  // Not repeated here: under `passphrase:` it would be the passphrase.
  add(node, path, 'is a number, but not in plain decimal digits; write it so (a text goes in quotes)')
}
