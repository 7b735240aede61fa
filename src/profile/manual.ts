import * as z from 'zod'
import { profileSchema } from './schema.ts'

/**
 * The schema as a manual: the JSON Schema that editors read (draft 7, what the YAML language server knows), and
 * look-ups in it by key path, from which error texts take their "allowed" and "example".
 */

export type Path = readonly (string | number)[]

interface Node {
  readonly description?: string
  readonly examples?: readonly unknown[]
  readonly properties?: Readonly<Record<string, Node>>
  readonly items?: Node
  readonly anyOf?: readonly Node[]
  readonly oneOf?: readonly Node[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
}

/** The published JSON Schema. What concerns several keys at once is not in it. */
export const jsonSchema = (): Record<string, unknown> =>
  z.toJSONSchema(profileSchema, { io: 'input', target: 'draft-7' }) as Record<string, unknown>

/** Exactly what profiles/profile.schema.json holds. */
export const jsonSchemaText = (): string => `${JSON.stringify(jsonSchema(), null, 2)}\n`

let root: Node | undefined

/** A schema and what it may be one of; with a value at hand, the branches that speak of its kind if any does. */
const branches = (node: Node, value?: unknown): readonly Node[] => {
  const all = [...(node.anyOf ?? []), ...(node.oneOf ?? [])]
  const same = all.filter((branch) => !otherKind(branch, value))
  return [node, ...(same.length > 0 ? same : all).flatMap((branch) => branches(branch, value))]
}

/** The branch fixes a key to a word, and the value has another word there: {algorithm: pbkdf2}. */
const otherKind = (branch: Node, value: unknown): boolean =>
  Object.entries(branch.properties ?? {}).some(([key, fixed]) => {
    const written = child(value, key)
    return fixed.const !== undefined && written !== undefined && written !== fixed.const
  })

const child = (value: unknown, key: string | number): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string | number, unknown>)[key]
    : undefined

/** All places of the schema that a key path can mean (more than one behind a union). */
const at = (path: Path, written?: unknown): readonly Node[] => {
  root ??= jsonSchema() as Node
  let nodes: readonly Node[] = [root]
  let value = written
  for (const key of path) {
    const here = value
    nodes = nodes
      .flatMap((node) => branches(node, here))
      .map((node) => (typeof key === 'number' ? node.items : own(node.properties, key)))
      .filter((node) => node !== undefined)
    value = child(value, key)
  }
  return nodes
}

const own = (properties: Node['properties'], key: string): Node | undefined =>
  properties && Object.hasOwn(properties, key) ? properties[key] : undefined

/** Keys that a block at this path may have. */
export const keysAt = (path: Path): readonly string[] => [
  ...new Set(
    at(path)
      .flatMap(branches)
      .flatMap((node) => Object.keys(node.properties ?? {})),
  ),
]

/** The fixed words that may stand at this path; empty when it is not a choice. */
export const choicesAt = (path: Path): readonly string[] =>
  at(path)
    .flatMap(branches)
    .flatMap((node) => node.enum ?? (node.const === undefined ? [] : [node.const]))
    .map(String)

/** What is allowed at this path of a written profile, and an example; both absent where the schema says nothing. */
export const manualAt = (
  path: Path,
  written: unknown,
): { readonly allowed?: string; readonly example?: unknown } => {
  const node = at(path, written).find(({ description }) => description !== undefined)
  if (node?.description === undefined) return {}
  return {
    allowed: node.description,
    ...(node.examples?.length ? { example: node.examples[0] } : {}),
  }
}

/** Every key of the format with the block it stands in, for keys written in the wrong place. */
export const everyKey = (): readonly { readonly key: string; readonly path: string }[] => {
  const found: { key: string; path: string }[] = []
  const walk = (path: (string | number)[], shown: string): void => {
    for (const key of keysAt(path)) {
      const name = shown ? `${shown}.${key}` : key
      found.push({ key, path: name })
      walk([...path, key], name)
    }
    if (at(path).some((node) => node.items)) walk([...path, 0], `${shown}[]`)
  }
  walk([], '')
  return found
}

/** ["members", 1, "disk"] → "members[1].disk". */
export const pathText = (path: Path): string =>
  path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : text ? `${text}.${key}` : key),
    '',
  )
