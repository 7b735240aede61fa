import { readdir, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { Exit, Fault } from '../fault.ts'
import { vaultPattern } from '../names.ts'
import { type Caller, callerOf, type Env, userDir } from './caller.ts'
import { quoted, warningText } from './faults.ts'
import { type Loaded, loadProfile } from './load.ts'
import { nearest } from './nearest.ts'

/**
 * From what a person typed to a profile file. First hit wins, nothing is merged; a second file of the same name is
 * mentioned, because editing the wrong one of two costs an evening.
 */
export interface FoundProfile {
  /** Absolute. */
  readonly path: string
  /** The vault's name that was asked for; absent when a path was. */
  readonly name?: string
  readonly warnings: readonly string[]
}

/** A profile in one of the known places. */
export interface KnownProfile {
  /** By its file name; the vault inside should have the same. */
  readonly name: string
  readonly path: string
  /** Another file of this name is found first. */
  readonly shadowed: boolean
}

const isPath = (argument: string): boolean => argument.includes('/') || /\.ya?ml$/.test(argument)

/**
 * Where a profile is: an argument with "/" or ending in .yaml is that file; a vault's name is looked for in
 * $CLOUDVAULT_PROFILE, the user's own directory (of the user behind sudo) and /etc/cloudvault. Only looks.
 * @throws Fault exit 2 with the known vaults when there is none.
 */
export const findProfile = async (
  argument: string,
  env: Env,
  other: Partial<Caller> = {},
): Promise<FoundProfile> => {
  if (isPath(argument)) return { path: resolve(argument), warnings: [] }
  const caller = callerOf(env, other)
  if (!vaultPattern.test(argument))
    throw new Fault(Exit.usage, `${quoted(argument)} is neither a vault's name nor a path of a profile`, {
      stands: 'a name is 1 to 24 of a-z, 0-9 and -; a path has a / or ends in .yaml',
      next: 'cloudvault check   (shows the profiles that are known here)',
    })
  const places = await placesOf(argument, caller)
  const hits = await existing(places)
  const [first, ...others] = hits
  if (first === undefined) throw await unknownVault(argument, places, caller)
  const warnings = others.map((path) => `${path} is not used: ${first} is found first`)
  return { path: first, name: argument, warnings }
}

/** Candidates in order; $CLOUDVAULT_PROFILE is a file, whatever its name. */
const placesOf = async (name: string, caller: Caller): Promise<readonly string[]> => {
  const explicit = caller.env.CLOUDVAULT_PROFILE
  const own = await userDir(caller)
  return [
    ...(explicit ? [resolve(explicit)] : []),
    ...(own ? [join(own, `${name}.yaml`)] : []),
    join(caller.systemDir, `${name}.yaml`),
  ]
}

const existing = async (paths: readonly string[]): Promise<readonly string[]> => {
  const found = await Promise.all(
    [...new Set(paths)].map(async (path) => {
      // Unreadable is not absent: only a file that is not there is passed over.
      const there = await stat(path).then(
        () => true,
        (error: NodeJS.ErrnoException) => error.code !== 'ENOENT' && error.code !== 'ENOTDIR',
      )
      return there ? path : null
    }),
  )
  return found.filter((path) => path !== null)
}

const unknownVault = async (name: string, places: readonly string[], caller: Caller): Promise<Fault> => {
  const known = (await listProfiles(caller.env, caller)).map((profile) => profile.name)
  const near = nearest(name, known)
  const list = known.length > 0 ? `known vaults: ${known.join(', ')}` : 'no vault is known here'
  return new Fault(Exit.usage, `there is no profile for ${name}${near ? `; did you mean ${near}?` : ''}`, {
    stands: `${list}; looked for ${places.join(', ')}`,
    next: `cloudvault init ${name}   (a new one), or cloudvault restore-kit KIT.tar   (one of another machine)`,
  })
}

/** All profiles in the known places, in order of precedence. Only looks at names. */
export const listProfiles = async (
  env: Env,
  other: Partial<Caller> = {},
): Promise<readonly KnownProfile[]> => {
  const caller = callerOf(env, other)
  const own = await userDir(caller)
  const explicit = env.CLOUDVAULT_PROFILE
  const paths = [
    ...(explicit ? await existing([resolve(explicit)]) : []),
    ...(own ? await yamlIn(own) : []),
    ...(await yamlIn(caller.systemDir)),
  ]
  const seen = new Set<string>()
  return [...new Set(paths)].map((path) => {
    const name = basename(path).replace(/\.ya?ml$/, '')
    const shadowed = seen.has(name)
    seen.add(name)
    return { name, path, shadowed }
  })
}

const yamlIn = async (directory: string): Promise<readonly string[]> => {
  const names = await readdir(directory).catch(() => [])
  return names
    .filter((name) => name.endsWith('.yaml') && vaultPattern.test(name.slice(0, -5)))
    .toSorted()
    .map((name) => join(directory, name))
}

/** A checked profile, and everything worth saying about it as lines to print. */
export interface OpenedProfile {
  readonly profile: Loaded['profile']
  readonly text: string
  readonly warnings: readonly string[]
}

/**
 * What every verb does with its NAME: find, load, and make sure that the file is about that vault.
 * @throws Fault exit 2: not found, faulty, or the file describes another vault.
 */
export const openProfile = async (
  argument: string,
  env: Env,
  other: Partial<Caller> = {},
): Promise<OpenedProfile> => {
  const found = await findProfile(argument, env, other)
  const { profile, warnings, text } = await loadProfile(found.path, callerOf(env, other))
  const wrong = otherVault(found, profile.vault)
  if (wrong) throw new Fault(Exit.usage, wrong, { stands: 'nothing was contacted, nothing was changed' })
  return { profile, text, warnings: [...found.warnings, ...warnings.map(warningText)] }
}

/** Why the file is not about the vault that was asked for, or null. */
export const otherVault = ({ name, path }: FoundProfile, vault: string): string | null =>
  name === undefined || name === vault
    ? null
    : `${path} describes the vault ${vault}, not ${name}: rename the file, or correct $CLOUDVAULT_PROFILE`
