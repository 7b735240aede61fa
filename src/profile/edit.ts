import { isDeepStrictEqual } from 'node:util'
import { isCollection, isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap, type YAMLSeq } from 'yaml'
import { Exit, Fault } from '../fault.ts'
import { quoted } from './faults.ts'
import { parseProfile } from './load.ts'
import { hostKey } from './rules/hostkey.ts'
import { parseTree, parseYaml } from './tree.ts'
import { formatSize } from './units.ts'

/**
 * Changes to a profile's text that leave every other line, comment and space as it was: text is spliced in where the
 * parser says the nodes are, then parsed again and compared with what was meant. (Printing the document anew would
 * move comments and squeeze their columns.)
 */

/**
 * Pins a member's host key: replaces the one that is there, or adds a line after `ssh:`.
 * @param text a profile that `parseProfile` accepts
 * @param fingerprint "SHA256:…"
 * @throws Fault exit 2 when there is no such member, or the fingerprint is none.
 */
export const setMemberHostKey = (text: string, member: string, fingerprint: string): string => {
  const fault = hostKey(fingerprint)
  if (fault) throw new Fault(Exit.usage, `${quoted(fingerprint)} is no host key fingerprint: it ${fault}`)
  const { items } = membersOf(text)
  const index = items.findIndex((item) => isMap(item) && item.get('name') === member)
  const map = items[index]
  if (!isMap(map)) throw new Fault(Exit.usage, `the profile has no member ${quoted(member)}`)
  const edited = withHostKey(text, map, fingerprint)
  return verified(text, edited, (members) =>
    members.map((value, i) =>
      i === index ? { ...(value as Record<string, unknown>), host_key: fingerprint } : value,
    ),
  )
}

const withHostKey = (text: string, map: YAMLMap, fingerprint: string): string => {
  const present = pairOf(map, 'host_key')
  if (present) {
    const [start, end] = rangeOf(present.value)
    return splice(text, start, end, fingerprint)
  }
  const ssh = pairOf(map, 'ssh')
  if (!ssh) throw new Fault(Exit.usage, 'the member has no `ssh:` line to put its host key after')
  const [, end] = rangeOf(ssh.value)
  if (map.flow) return splice(text, end, end, `, host_key: ${fingerprint}`)
  const indent = ' '.repeat(columnOf(text, rangeOf(ssh.key)[0]))
  return insertLines(text, lineEnd(text, end), [`${indent}host_key: ${fingerprint}`])
}

/**
 * Changes the size of a member's disk file; the line keeps its comment.
 * @param text a profile that `parseProfile` accepts
 * @throws Fault exit 2 when there is no such member, or its disk has no size to change.
 */
export const setMemberSize = (text: string, member: string, sizeBytes: number): string => {
  const { items } = membersOf(text)
  const index = items.findIndex((item) => isMap(item) && item.get('name') === member)
  const map = items[index]
  const disk = isMap(map) ? map.get('disk', true) : undefined
  const size = isMap(disk) ? pairOf(disk, 'size') : undefined
  if (!size)
    throw new Fault(Exit.usage, `the profile has no member ${quoted(member)} with a disk of its own size`)
  const [start, end] = rangeOf(size.value)
  const written = formatSize(sizeBytes)
  return verified(text, splice(text, start, end, written), (members) =>
    members.map((value, i) => {
      const old = value as { disk: Record<string, unknown> }
      return i === index ? { ...old, disk: { ...old.disk, size: written } } : value
    }),
  )
}

/**
 * Appends a member after the last one. Only added lines differ from the old text.
 * @param text a profile that `parseProfile` accepts
 * @param block one member in YAML, with or without its leading "- ", at any indentation
 * @throws Fault exit 2 when members are written as one [ … ] list; ProfileFaults when the result is no valid profile.
 */
export const addMember = (text: string, block: string, file = 'profile'): string => {
  const list = membersOf(text)
  const last = list.items.at(-1)
  if (list.flow || last === undefined)
    throw new Fault(Exit.usage, 'members are written inside [ ]; write each on its own lines with "- " first')
  const dash = text.lastIndexOf('-', rangeOf(last)[0] - 1)
  const indent = columnOf(text, dash)
  const apart = /\n[ \t]*\r?\n/.test(text.slice(rangeOf(list.items[0])[0], dash))
  const lines = memberLines(block, ' '.repeat(indent))
  const value = parseTree(lines.join('\n'), file).value
  const edited = insertLines(text, endOfItem(text, last, indent), [...(apart ? [''] : []), ...lines])
  const result = verified(text, edited, (members) => [...members, ...(value as unknown[])])
  parseProfile(result, file)
  return result
}

/**
 * Takes a member out, with the comments that stand in its lines.
 * @param text a profile that `parseProfile` accepts
 * @throws Fault exit 2 when there is no such member, or members are written as one [ … ] list; ProfileFaults when the
 * result is no valid profile.
 */
export const removeMember = (text: string, member: string, file = 'profile'): string => {
  const list = membersOf(text)
  const index = list.items.findIndex((item) => isMap(item) && item.get('name') === member)
  const item = list.items[index]
  if (item === undefined) throw new Fault(Exit.usage, `the profile has no member ${quoted(member)}`)
  if (list.flow)
    throw new Fault(Exit.usage, 'members are written inside [ ]; write each on its own lines with "- " first')
  const dash = text.lastIndexOf('-', rangeOf(item)[0] - 1)
  const start = text.lastIndexOf('\n', dash) + 1
  const end = endOfItem(text, item, columnOf(text, dash))
  // The empty line that set it apart goes with it: the one before it, or behind the first.
  const before = /\n[ \t]*\r?\n$/.exec(text.slice(0, start))
  const from = index > 0 && before ? start - before[0].length + 1 : start
  const rest = text.slice(end).replace(/^\r?\n/, '')
  const result = verified(
    text,
    text.slice(0, from) + (index === 0 ? rest.replace(/^[ \t]*\r?\n/, '') : rest),
    (members) => members.filter((_, i) => i !== index),
  )
  parseProfile(result, file)
  return result
}

/** The block's lines as an item of the list: common indentation off, the list's on, "- " first. */
const memberLines = (block: string, indent: string): string[] => {
  const lines = block
    .replace(/\r\n/g, '\n')
    .replace(/^\s*\n/, '')
    .trimEnd()
    .split('\n')
  const plain = [(lines[0] ?? '').replace(/^(\s*)- /, '$1  '), ...lines.slice(1)]
  const widths = plain.filter((line) => line.trim() !== '').map((line) => line.search(/\S/))
  const common = Math.min(...widths)
  return plain.map((line, i) => {
    const body = line.slice(common).trimEnd()
    return body === '' ? '' : `${indent}${i === 0 ? '- ' : '  '}${body}`
  })
}

/** Where the text of a list item ends: after its last value's line and the comments that are indented like it. */
const endOfItem = (text: string, item: Node, dashColumn: number): number => {
  let end = lineEnd(text, rangeOf(lastLeaf(item))[1])
  const after = text.slice(end).split('\n')
  let offset = end
  // after[0] is what follows the line's end: empty, its newline begins the next one.
  for (const line of after.slice(1)) {
    offset += line.length + 1
    const comment = /^( *)#/.exec(line)
    if (comment && (comment[1]?.length ?? 0) > dashColumn) end = offset - (line.endsWith('\r') ? 1 : 0)
    else if (line.trim() !== '') break
  }
  return end
}

/** The node whose text comes last. Block collections themselves extend over the comments behind them. */
const lastLeaf = (node: unknown): Node => {
  if (isCollection(node) && !node.flow) {
    const last = node.items.at(-1)
    if (isMap(node)) {
      const { key, value } = last as Pair
      return lastLeaf(value === null || isEmpty(value) ? key : value)
    }
    return lastLeaf(last)
  }
  return node as Node
}

const isEmpty = (node: unknown): boolean => isScalar(node) && node.range?.[0] === node.range?.[1]

const membersOf = (text: string): YAMLSeq<Node> => {
  const contents = parseYaml(text).contents
  const members = isMap(contents) ? contents.get('members', true) : undefined
  if (!isSeq(members)) throw new Fault(Exit.usage, 'the profile has no list of members')
  return members as YAMLSeq<Node>
}

export const pairOf = (map: YAMLMap, key: string): Pair | undefined =>
  map.items.find((pair) => isScalar(pair.key) && pair.key.value === key)

export const rangeOf = (node: unknown): readonly [number, number] => {
  const range = (node as Node | null | undefined)?.range
  if (!range) throw new Error('a parsed node without a range')
  return [range[0], range[1]]
}

export const columnOf = (text: string, offset: number): number => {
  const start = text.lastIndexOf('\n', offset - 1) + 1
  return offset - start - (start === 0 && text.startsWith('\uFEFF') ? 1 : 0)
}

/** Offset of the end of the line, before its line break. */
export const lineEnd = (text: string, offset: number): number => {
  const newline = text.indexOf('\n', offset)
  if (newline < 0) return text.length
  return text[newline - 1] === '\r' ? newline - 1 : newline
}

export const splice = (text: string, start: number, end: number, inserted: string): string =>
  text.slice(0, start) + inserted + text.slice(end)

/** Whole new lines after the line that ends at `at`, with the file's own line breaks. */
const insertLines = (text: string, at: number, lines: readonly string[]): string => {
  const eol = /\r\n/.test(text) ? '\r\n' : '\n'
  return splice(text, at, at, lines.map((line) => eol + line).join(''))
}

/** The edited text, when it says exactly what was meant; anything else is a bug and must not reach the disk. */
const verified = (
  before: string,
  after: string,
  change: (members: readonly unknown[]) => readonly unknown[],
): string => {
  const old = parseTree(before, 'before').value as { members: unknown[] }
  return verifiedWhole(after, { ...old, members: change(old.members) })
}

export const verifiedWhole = (after: string, meant: unknown): string => {
  const tree = parseTree(after, 'after')
  if (tree.broken || tree.faults.length > 0 || !isDeepStrictEqual(tree.value, meant))
    throw new Error('an edit of the profile came out different from what was meant; the file was not changed')
  return after
}
