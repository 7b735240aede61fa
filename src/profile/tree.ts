import { type Document, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml'
import type { ProfileFault } from './faults.ts'
import { scan, strangers } from './guard.ts'
import { type Path, pathText } from './manual.ts'

/**
 * YAML text → plain values with a place for every key path. YAML 1.2 core, one document.
 */

export interface Place {
  readonly line: number
  readonly column: number
}

export interface Tree {
  /** The plain value; null when `broken`. */
  readonly value: unknown
  /** The notation itself is wrong, so there is no value to judge. */
  readonly broken: boolean
  /** Faults of the notation. */
  readonly faults: readonly ProfileFault[]
  /** Where the value of a key path stands, or the nearest thing around it. */
  valueAt(path: Path): Place
  /** Where the last key of a path stands, or the nearest thing around it. */
  keyAt(path: Path): Place
}

/** The one way this project reads YAML; edit.ts needs the nodes. Throws for no text. */
export const parseYaml = (text: string, lineCounter?: LineCounter): Document.Parsed =>
  parseDocument(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    strict: true,
    stringKeys: true,
    // Duplicates are looked for in guard.ts, which can say where the first one is.
    uniqueKeys: false,
    resolveKnownTags: false,
    prettyErrors: false,
    // Not 'silent': that would also pass over a second document.
    logLevel: 'error',
    ...(lineCounter ? { lineCounter } : {}),
  })

/** Reads YAML text. Throws for no text; `file` is only for the faults. */
export const parseTree = (text: string, file: string): Tree => {
  const refused = scan(text)
  const lines = new LineCounter()
  const document = parseYaml(refused ? '' : text, lines)
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    const column = line === 1 && text.startsWith('\uFEFF') ? col - 1 : col
    return { line: Math.max(1, line), column: Math.max(1, column) }
  }
  const found = strangers(document.contents, (offset) => placeOf(offset).line)
  const faults: ProfileFault[] = [
    ...(refused ? [{ file, path: '', ...refused }] : []),
    ...syntaxErrors(document).map(({ offset, message }) => ({ file, ...placeOf(offset), path: '', message })),
    ...found.map(({ offset, path, message }) => ({
      file,
      ...placeOf(offset),
      path: pathText(path),
      message,
    })),
  ]
  const broken = refused !== null || document.errors.length > 0 || found.some(({ fatal }) => fatal)
  return {
    value: broken ? null : (document.toJS({ maxAliasCount: 0 }) as unknown),
    broken,
    faults,
    valueAt: (path) => placeOf(offsetOf(document, path, 'value')),
    keyAt: (path) => placeOf(offsetOf(document, path, 'key')),
  }
}

/** The parser's errors in our words, one per place: what follows at the same place is only its consequence. */
const syntaxErrors = (document: Document.Parsed): { offset: number; message: string }[] => {
  const seen = new Set<number>()
  return document.errors
    .filter(({ pos }) => (seen.has(pos[0]) ? false : seen.add(pos[0])))
    .map(({ code, message, pos: [end] }) => {
      const open = code === 'MISSING_CHAR' && message.includes('quote')
      return open
        ? { offset: startOf(document, end), message: 'this quote is never closed' }
        : { offset: end, message: syntaxWords(code) }
    })
}

/** Where the quoted text starts whose end was missed: the parser only says where it gave up. */
const startOf = (document: Document.Parsed, end: number): number => {
  let offset = end
  visit(document, {
    Scalar: (_, { range, type }) => {
      if (type?.startsWith('QUOTE') && range && range[0] < end && range[1] >= end) offset = range[0]
    },
  })
  return offset
}

const syntax: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'tabs are not allowed as indentation; use spaces',
  MULTIPLE_DOCS: 'a second document starts here; a profile is exactly one',
  RESOURCE_EXHAUSTION: 'is nested too deeply; that is not a profile',
  BAD_INDENT: 'is indented differently from its neighbours',
  NON_STRING_KEY: 'a key must be a plain word',
  BLOCK_AS_IMPLICIT_KEY: 'a second "key: value" on one line; a value that contains ": " needs quotes',
  MULTILINE_IMPLICIT_KEY: 'a key must stand on one line; is the next line indented wrongly?',
  BAD_DQ_ESCAPE: 'a backslash escape that YAML does not know; use single quotes',
  BAD_SCALAR_START: 'a value cannot start with this character; put it in quotes',
  BAD_ALIAS: 'aliases (*name) are not allowed; write the value again',
  MULTIPLE_ANCHORS: 'anchors (&name) are not allowed; write the value where it is used',
  MULTIPLE_TAGS: 'tags (!…) are not allowed; write the plain value',
  KEY_OVER_1024_CHARS: 'a key is longer than 1024 characters',
}

/** Our words for the parser's codes. Its own texts may quote the source, and the source may hold a secret. */
const syntaxWords = (code: string): string => {
  if (code === 'MISSING_CHAR') return 'a ":" or "," or a closing bracket is missing before this'
  if (code === 'UNEXPECTED_TOKEN')
    return 'cannot stand here; a value with [ ] { } # or ": " in it needs quotes'
  return syntax[code] ?? 'is not YAML'
}

/** Offset of a path's value or key; of the nearest enclosing thing when the path does not exist. */
const offsetOf = (document: Document.Parsed, path: Path, what: 'key' | 'value'): number => {
  let node: unknown = document.contents
  let offset = document.contents?.range?.[0] ?? 0
  for (const [depth, key] of path.entries()) {
    const last = depth === path.length - 1
    if (isSeq(node) && typeof key === 'number') {
      node = node.items[key]
      offset = (node as Node | null | undefined)?.range?.[0] ?? offset
      continue
    }
    // With a key given twice the last one counts, as in the value.
    const pair = isMap(node)
      ? node.items.findLast((item) => isScalar(item.key) && String(item.key.value) === key)
      : null
    if (!pair) return offset
    const value = pair.value as Node | null
    // An empty value has no text of its own: its key is the place to look at.
    const empty = !value?.range || value.range[0] === value.range[1]
    const keyOffset = (pair.key as Node).range?.[0] ?? offset
    offset = (last && what === 'key') || empty ? keyOffset : (value.range?.[0] ?? keyOffset)
    node = value
  }
  return offset
}
