import { isMap, isScalar, type YAMLMap } from 'yaml'
import { Exit, Fault } from '../fault.ts'
import { columnOf, pairOf, rangeOf, splice, verifiedWhole } from './edit.ts'
import { quoted } from './faults.ts'
import { parseProfile } from './load.ts'
import { parseTree, parseYaml } from './tree.ts'

/** A member's twin takes its lines in the profile: another name, another disk file, another port; the rest stays. */

export interface TwinLines {
  readonly name: string
  readonly file: string
  readonly port?: number
}

interface Edit {
  readonly at: readonly [number, number]
  readonly text: string
}

/**
 * @param text a profile that `parseProfile` accepts
 * @throws Fault exit 2 when there is no such member with a disk file; ProfileFaults when the result is no valid profile
 */
export const becomeTwin = (text: string, member: string, twin: TwinLines, file = 'profile'): string => {
  const contents = parseYaml(text).contents
  const list = isMap(contents) ? contents.get('members', true) : undefined
  const items = (list as { items?: readonly unknown[] } | undefined)?.items ?? []
  const index = items.findIndex((item) => isMap(item) && item.get('name') === member)
  const map = items[index]
  if (!isMap(map)) throw new Fault(Exit.usage, `the profile has no member ${quoted(member)}`)
  const disk = map.get('disk', true)
  const name = pairOf(map, 'name')
  const path = isMap(disk) ? pairOf(disk, 'file') : undefined
  if (!name || !path) throw new Fault(Exit.usage, `${quoted(member)} has no disk file in the profile`)
  const link = twin.port === undefined ? null : linkEdit(text, map, twin.port)
  const edits: Edit[] = [
    { at: rangeOf(name.value), text: twin.name },
    { at: rangeOf(path.value), text: twin.file },
    ...(link ? [link.edit] : []),
  ]
  const after = edits
    .sort((one, other) => other.at[0] - one.at[0])
    .reduce((edited, { at: [start, end], text: words }) => splice(edited, start, end, words), text)
  const old = parseTree(text, 'before').value as { members: { disk: object }[] }
  const members = old.members.map((entry, i) =>
    i === index
      ? {
          ...entry,
          name: twin.name,
          disk: { ...entry.disk, file: twin.file },
          ...(link ? { link: link.meant } : {}),
        }
      : entry,
  )
  const result = verifiedWhole(after, { ...old, members })
  parseProfile(result, file)
  return result
}

/** `tls`, `{ tls: {} }` and `{ tls: { port: 10809 } }` are all ways to say it. */
const linkEdit = (
  text: string,
  map: YAMLMap,
  port: number,
): { readonly edit: Edit; readonly meant: unknown } => {
  const link = map.get('link', true) as unknown
  if (isScalar(link)) {
    const kind = String(link.value)
    return {
      edit: { at: rangeOf(link), text: `{ ${kind}: { port: ${port} } }` },
      meant: { [kind]: { port } },
    }
  }
  const [pair] = isMap(link) ? link.items : []
  const kind = String((pair?.key as { value?: unknown } | undefined)?.value)
  const settings = pair?.value
  const before = (isMap(link) ? link.toJSON() : {}) as Record<string, object>
  const meant = { [kind]: { ...before[kind], port } }
  if (!isMap(settings)) return { edit: { at: rangeOf(settings), text: `{ port: ${port} }` }, meant }
  const present = pairOf(settings, 'port')
  if (present) return { edit: { at: rangeOf(present.value), text: `${port}` }, meant }
  const [first] = settings.items
  if (first === undefined) return { edit: { at: rangeOf(settings), text: `{ port: ${port} }` }, meant }
  const [at] = rangeOf(first.key)
  const gap = settings.flow ? ', ' : `\n${' '.repeat(columnOf(text, at))}`
  return { edit: { at: [at, at], text: `port: ${port}${gap}` }, meant }
}
