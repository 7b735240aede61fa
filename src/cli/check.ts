import { resolve } from 'node:path'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { callerOf } from '../profile/caller.ts'
import {
  faultText,
  type ProfileFault,
  ProfileFaults,
  type ProfileWarning,
  printable,
  warningText,
} from '../profile/faults.ts'
import { findProfile, listProfiles, otherVault } from '../profile/find.ts'
import { loadProfile } from '../profile/load.ts'
import { jsonLine } from '../ui/json.ts'
import type { World } from './world.ts'

/**
 * `cloudvault check [FILE|NAME…] [--json]`: the faults of profiles, all at once. Reads the files, contacts nobody.
 */

interface Verdict {
  /** As it was typed, where a path was. */
  readonly file: string
  readonly path: string
  readonly vault: string | null
  readonly faults: readonly ProfileFault[]
  readonly warnings: readonly ProfileWarning[]
}

/**
 * Checks the named profiles, or all known ones. stdout: a line "ok" per sound profile, the faults of the others;
 * warnings on stderr. With `json` one object `cloudvault.check/1` on stdout.
 * @returns exit 2 when any of them has a fault
 */
export const checkVerb = async (
  world: World,
  names: readonly string[],
  options: { readonly json?: boolean } = {},
): Promise<ExitCode> => {
  const verdicts: Verdict[] = []
  for (const name of await targets(world, names)) verdicts.push(await judge(world, name))
  if (options.json) world.stdout.write(jsonLine(asJson(verdicts)))
  else for (const verdict of verdicts) print(world, verdict)
  return verdicts.every(({ faults }) => faults.length === 0) ? Exit.ok : Exit.usage
}

const targets = async (world: World, names: readonly string[]): Promise<readonly string[]> => {
  if (names.length > 0) return names
  const known = await listProfiles(world.env)
  if (known.length > 0) return known.map(({ path }) => path)
  throw new Fault(Exit.usage, 'there is no profile to check', {
    stands: 'looked in ~/.config/cloudvault and /etc/cloudvault',
    next: 'cloudvault check FILE, or cloudvault init to write one',
  })
}

const judge = async (world: World, name: string): Promise<Verdict> => {
  let path = name
  try {
    const found = await findProfile(name, world.env)
    // As it was typed where it was a path: that is what an editor can jump to.
    path = found.name === undefined ? name : found.path
    const { profile, warnings } = await loadProfile(path, callerOf(world.env, { uid: world.uid }))
    const wrong = otherVault(found, profile.vault)
    const notes = found.warnings.map((message) => whole(path, message))
    return {
      file: path,
      path: profile.path,
      vault: profile.vault,
      faults: wrong ? [whole(path, wrong)] : [],
      warnings: [...notes, ...warnings],
    }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    const faults = error instanceof ProfileFaults ? error.faults : [whole(path, explained(error))]
    return { file: path, path: resolve(path), vault: null, faults, warnings: [] }
  }
}

const whole = (file: string, message: string): ProfileFault => ({
  file,
  line: 0,
  column: 0,
  path: '',
  message,
})

const explained = ({ message, details }: Fault): string =>
  details.stands === undefined ? message : `${message} (${details.stands})`

const print = (world: World, { file, vault, faults, warnings }: Verdict): void => {
  for (const warning of warnings) world.stderr.write(`warning: ${warningText(warning)}\n`)
  if (faults.length === 0) world.stdout.write(`ok  ${vault}  ${printable(file)}\n`)
  for (const fault of faults) world.stdout.write(`${faultText(fault)}\n`)
}

const asJson = (verdicts: readonly Verdict[]) => ({
  schema: 'cloudvault.check/1',
  ok: verdicts.every(({ faults }) => faults.length === 0),
  profiles: verdicts.map(({ path, vault, faults, warnings }) => ({
    path,
    vault,
    ok: faults.length === 0,
    faults,
    warnings,
  })),
})
