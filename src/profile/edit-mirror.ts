import { isMap, type YAMLMap } from 'yaml'
import { Exit, Fault } from '../fault.ts'
import { columnOf, lineEnd, pairOf, rangeOf, splice, verifiedWhole } from './edit.ts'
import type { Redundancy } from './profile.ts'
import { parseTree, parseYaml } from './tree.ts'

/** The one key of a profile that a change of redundancy edits; everything else stays as it was written. */

/**
 * Says how often everything is stored: replaces `filesystem.mirror`, or adds it.
 * @param text a profile that `parseProfile` accepts
 */
export const setMirror = (text: string, mirror: Redundancy): string => {
  const contents = parseYaml(text).contents
  if (!isMap(contents)) throw new Fault(Exit.usage, 'the profile is no block of keys')
  const edited = withMirror(text, contents as YAMLMap, mirror)
  const old = parseTree(text, 'before').value as { filesystem?: object }
  return verifiedWhole(edited, { ...old, filesystem: { ...old.filesystem, mirror } })
}

const withMirror = (text: string, contents: YAMLMap, mirror: Redundancy): string => {
  const filesystem = pairOf(contents, 'filesystem')
  const block = filesystem?.value
  if (filesystem === undefined || !isMap(block) || block.items.length === 0) {
    const members = pairOf(contents, 'members')
    const at = filesystem ? rangeOf(filesystem.key)[0] : rangeOf(members?.key)[0]
    const end = filesystem ? lineEnd(text, at) : at
    return `${text.slice(0, at)}filesystem: { mirror: ${mirror} }\n${filesystem ? text.slice(end).replace(/^\r?\n/, '') : text.slice(end)}`
  }
  const present = pairOf(block as YAMLMap, 'mirror')
  if (present) {
    const [start, end] = rangeOf(present.value)
    return splice(text, start, end, mirror)
  }
  const first = rangeOf((block as YAMLMap).items[0]?.key)[0]
  if (block.flow) return splice(text, first, first, `mirror: ${mirror}, `)
  return splice(text, first, first, `mirror: ${mirror}\n${' '.repeat(columnOf(text, first))}`)
}
