import type * as z from 'zod'
import { type ProfileFault, quoted } from './faults.ts'
import { choicesAt, everyKey, keysAt, manualAt, type Path, pathText } from './manual.ts'
import { nearest } from './nearest.ts'
import { notBuilt, refusedKeys } from './refused.ts'
import type { Tree } from './tree.ts'
import { exampleLine } from './yaml-line.ts'

/**
 * The validator's findings in the words of a person who writes a profile: the place, what is wrong with what
 * stands there, what is allowed and an example. Nothing from the `unlock` block is ever repeated.
 */

export type Issue = z.core.$ZodIssue

interface Finding {
  readonly path: Path
  readonly message: string
  /** The key is what is wrong, not its value. */
  readonly key?: boolean
}

/** One fault at a place, with what the manual says about it. */
export const faultAt = (
  tree: Tree,
  file: string,
  finding: Finding,
  place: 'key' | 'value' = 'value',
): ProfileFault => {
  const { path, message, key } = finding
  const { allowed, example } = key ? {} : manualAt(path, tree.value)
  const name = path.findLast((part) => typeof part === 'string')
  return {
    file,
    ...(key || place === 'key' ? tree.keyAt(path) : tree.valueAt(path)),
    path: pathText(path),
    message,
    ...(allowed === undefined ? {} : { allowed }),
    ...(example === undefined || name === undefined ? {} : { example: exampleLine(path, example) }),
  }
}

/** All findings of the validator as faults. */
export const explain = (issues: readonly Issue[], tree: Tree, file: string): ProfileFault[] =>
  issues.flatMap((issue) => findings(issue, [], tree.value)).map((finding) => faultAt(tree, file, finding))

const findings = (issue: Issue, above: Path, root: unknown): Finding[] => {
  const path: Path = [...above, ...(issue.path as (string | number)[])]
  const value = valueAt(root, path)
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(path, key, value))
  if (issue.code === 'invalid_union' && issue.errors.length > 0)
    return unionFindings(issue.errors, path, root)
  return [{ path, message: words(issue, path, value) }]
}

/** Of a union, the branch of the written value's own type; the others only say that it is not theirs. */
const unionFindings = (branches: readonly Issue[][], path: Path, root: unknown): Finding[] => {
  const value = valueAt(root, path)
  const isBlock = typeof value === 'object' && value !== null && !Array.isArray(value)
  const meant = branches.find(
    (issues) =>
      isBlock && issues.some((issue) => issue.path.length > 0 || issue.code === 'unrecognized_keys'),
  )
  const found = meant?.flatMap((issue) => findings(issue, path, root))
  if (!found) return [{ path, message: choice(path, value) }]
  // {tls: …} is both an unknown key and a missing `plain`; the first says it all.
  return found.some(({ key }) => key) ? found.filter(({ message }) => message !== missing) : found
}

const missing = 'is missing'

const words = (issue: Issue, path: Path, value: unknown): string => {
  if (value === undefined) return missing
  if (value === null) return 'has no value; write one or delete the line'
  switch (issue.code) {
    case 'custom':
      return shown(path, value, issue.message)
    case 'invalid_type':
      return wrongType(issue.expected, path, value)
    case 'invalid_value':
    case 'invalid_union':
      return choice(path, value)
    case 'too_small':
      return tooMuchOrLittle(path, value, `at least ${issue.minimum}`)
    case 'too_big':
      return tooMuchOrLittle(path, value, `at most ${issue.maximum}`)
    default:
      return shown(path, value, 'is not allowed')
  }
}

const tooMuchOrLittle = (path: Path, value: unknown, bound: string): string =>
  Array.isArray(value)
    ? `has ${value.length} entries; ${bound}`
    : shown(path, value, `is out of range: ${bound}`)

const secret = (path: Path): boolean => path.length === 0 || path[0] === 'unlock'

/** A value and what is wrong with it; the value only where it cannot be a secret, or hold one (user:password@host). */
const shown = (path: Path, value: unknown, message: string): string => {
  if (secret(path) || (typeof value === 'object' && value !== null) || /:[^@]*@/.test(String(value)))
    return message
  const text = typeof value === 'string' ? quoted(value) : String(value)
  return /^(is|must|has|may|lies|would|means) /.test(message) ? `${text} ${message}` : `${text}: ${message}`
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a whole number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a block of keys',
  array: 'a list',
}

const nameOfType = (value: unknown): string => {
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a block of keys'
  if (typeof value === 'number') return Number.isInteger(value) ? 'a number' : 'a number with a fraction'
  return typeof value === 'boolean' ? 'true or false' : 'a text'
}

const wrongType = (expected: string, path: Path, value: unknown): string => {
  if (typeof value === 'string' && path.at(-1) === 'passphrase')
    return 'secrets do not belong into a profile (the value is not shown); say where it comes from'
  const wanted = typeNames[expected] ?? expected
  if (expected === 'string' && typeof value === 'number') return shown(path, value, noText(path, value))
  if (Array.isArray(value) && path.at(-1) === 'ssh')
    return 'must be a text, and is a list; an IPv6 address in brackets needs quotes: "[2001:db8::1]:22"'
  if (expected === 'string' && typeof value === 'boolean')
    return `must be ${wanted}, and is true or false; put it in quotes`
  if (wanted === 'a whole number' && typeof value === 'string' && /^[0-9]+$/.test(value))
    return shown(path, value, `must be ${wanted}, and is a text; remove the quotes`)
  if (expected === 'boolean' && typeof value === 'string')
    return shown(path, value, 'must be true or false (yes, no, on and off are plain texts in YAML 1.2)')
  return shown(path, value, `must be ${wanted}, and is ${nameOfType(value)}`)
}

/** A number where a text is wanted: without its unit, or a name made of digits. */
const noText = (path: Path, value: number): string => {
  const key = path.at(-1)
  if (key === 'size' || key === 'memory') return `the unit is missing; write ${value}GiB or ${value}MiB`
  if (key === 'patience') return `the unit is missing; write ${value}s or ${value}m`
  return 'must be a text, and is a number; put it in quotes'
}

/** A word that is not one of the choices. */
const choice = (path: Path, value: unknown): string => {
  const choices = choicesAt(path)
  if (typeof value !== 'string') return shown(path, value, `must be ${oneOf(choices)}`)
  const planned = notBuilt(path, value)
  if (planned) return shown(path, value, planned)
  const near = nearest(value, choices)
  return shown(path, value, near ? `did you mean ${near}?` : `is not ${oneOf(choices)}`)
}

const oneOf = (choices: readonly string[]): string =>
  choices.length > 1 ? `one of ${choices.join(', ')}` : (choices[0] ?? 'allowed')

/** An unknown key: why it is not there, where it belongs, or what was probably meant. */
const unknownKey = (block: Path, key: string, parent: unknown): Finding => {
  const path = [...block, key]
  const value = (parent as Record<string, unknown> | null)?.[key]
  const refusal = refusedKeys(block, key)
  if (refusal) return { path, key: true, message: refusal }
  const siblings = keysAt(block)
  const near = nearest(key, siblings)
  const allowed = `keys here: ${siblings.join(', ')}`
  if (near) return { path, key: true, message: `unknown key; did you mean ${near}? (${allowed})` }
  // In a flow block {hunter2} the "key" can be the secret itself.
  if (secret(block) && value === null)
    return { path: block, message: 'unknown key (not shown, it could be a secret)' }
  const elsewhere = everyKey().find(
    (known) =>
      known.key ===
      (nearest(
        key,
        everyKey().map((k) => k.key),
      ) ?? key),
  )
  return elsewhere
    ? { path, key: true, message: `unknown key here; did you mean ${elsewhere.path}? (${allowed})` }
    : { path, key: true, message: `unknown key (${allowed})` }
}

const valueAt = (root: unknown, path: Path): unknown =>
  path.reduce<unknown>(
    (value, key) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, key)
        ? (value as Record<string | number, unknown>)[key]
        : undefined,
    root,
  )
