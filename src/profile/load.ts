import { lstat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Caller, callerOf, distrust } from './caller.ts'
import { crossFindings } from './cross.ts'
import { draftOf } from './draft.ts'
import { explain, faultAt, type Issue } from './explain.ts'
import { type ProfileFault, ProfileFaults, type ProfileWarning } from './faults.ts'
import type { Profile } from './profile.ts'
import { profileSchema, type Written } from './schema.ts'
import { shapeOf } from './shape.ts'
import { readText } from './text.ts'
import { parseTree, type Tree } from './tree.ts'

/**
 * From a file to a checked profile. All faults are found in one pass and thrown together; nothing is contacted and
 * nothing but the file is read.
 */
export interface Loaded {
  readonly profile: Profile
  readonly warnings: readonly ProfileWarning[]
  /** The file's text as read, for edit.ts. */
  readonly text: string
}

/**
 * Reads and checks one profile file.
 * @throws ProfileFaults (exit 2) with every fault: unreadable, untrusted (as root), not YAML, not a profile.
 */
export const loadProfile = async (path: string, caller: Caller = callerOf(process.env)): Promise<Loaded> => {
  const text = await readText(path, (stats) => distrust(stats, caller))
  const link = await lstat(path)
  // A third user could turn his symbolic link to another file at any time. Its mode is always 0777 and means nothing.
  const objection = link.isSymbolicLink() ? distrust({ uid: link.uid, gid: link.gid, mode: 0 }, caller) : null
  if (objection) throw whole(path, objection)
  return parseProfile(text, path)
}

const whole = (file: string, message: string): ProfileFaults =>
  new ProfileFaults(file, [{ file, line: 0, column: 0, path: '', message }])

/**
 * Checks the text of a profile. `file` is its name in faults; `path` in the result is made absolute.
 * @throws ProfileFaults (exit 2) with every fault.
 */
export const parseProfile = (text: string, file: string): Loaded => {
  const tree = parseTree(text, file)
  if (!tree.broken && (tree.value === null || tree.value === undefined))
    throw whole(file, 'the profile is empty; `cloudvault init` writes one')
  const { written, faults, warnings } = judge(tree, file)
  const all = inOrder(faults, tree.faults)
  if (all.length > 0 || !written) throw new ProfileFaults(file, all)
  return { profile: shapeOf(written, resolve(file)), warnings: inOrder(warnings), text }
}

interface Judged {
  readonly written?: Written
  readonly faults: readonly ProfileFault[]
  readonly warnings: readonly ProfileWarning[]
}

const judge = (tree: Tree, file: string): Judged => {
  if (tree.broken) return { faults: [], warnings: [] }
  const version = otherVersion(tree, file)
  // The rest of a file in another version would only be noise.
  if (version) return { faults: [version], warnings: [] }
  const checked = profileSchema.safeParse(tree.value)
  const issues = checked.error?.issues ?? []
  const found = crossFindings(draftOf(tree.value))
  const place = (kind: 'fault' | 'warning') =>
    found
      .filter(({ warning }) => (warning === true) === (kind === 'warning'))
      .map((finding) => faultAt(tree, file, finding))
  return {
    ...(checked.success ? { written: checked.data } : {}),
    faults: [...explain([...issues, ...behindBadKinds(tree.value, issues)], tree, file), ...place('fault')],
    warnings: place('warning').map(({ allowed: _, example: __, ...warning }) => warning),
  }
}

/** The validator stops at a member of an unknown kind; its other faults are found by taking it for a known one. */
const behindBadKinds = (value: unknown, issues: readonly Issue[]): readonly Issue[] => {
  const bad = issues
    .filter(({ code, path }) => code === 'invalid_union' && path[0] === 'members' && path[2] === 'kind')
    .map(({ path }) => path[1])
  if (bad.length === 0) return []
  const { members } = value as { members: Record<string, unknown>[] }
  const known = members.map(({ kind, ...member }, i) => (bad.includes(i) ? member : { kind, ...member }))
  const again = profileSchema.safeParse({ ...(value as object), members: known })
  return (again.error?.issues ?? []).filter(({ path }) => bad.includes(path[1] as number))
}

const otherVersion = (tree: Tree, file: string): ProfileFault | null => {
  const version = (tree.value as { version?: unknown }).version
  if (typeof version !== 'number' || !Number.isInteger(version) || version === 1) return null
  const message =
    version > 1
      ? `this cloudvault reads version 1, the file is version ${version}; install a newer cloudvault`
      : `there is no version ${version}; the format is version 1`
  return faultAt(tree, file, { path: ['version'], message })
}

/**
 * By place. Of several faults at one key the first found counts, because the later ones follow from it; those of the
 * notation are all kept.
 */
const inOrder = (faults: readonly ProfileFault[], notation: readonly ProfileFault[] = []): ProfileFault[] => {
  const seen = new Set(notation.map(({ path }) => path))
  const first = faults.filter(({ path }) => (seen.has(path) && path !== '' ? false : seen.add(path)))
  return [...notation, ...first].toSorted((a, b) => a.line - b.line || a.column - b.column)
}
