import { chown, mkdir, open, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Exit, Fault } from '../../fault.ts'
import { callerOf, userDir } from '../../profile/caller.ts'
import type { World } from '../world.ts'

/**
 * Where a new profile goes, and how: one new file for its owner's eyes only, never over an existing one.
 */

/** --output, else the user's own directory of profiles (of the user behind sudo). */
export const targetPath = async (
  env: World['env'],
  vault: string,
  output: string | undefined,
): Promise<string> => {
  if (output) return resolve(output)
  const own = await userDir(callerOf(env))
  return join(own ?? '/etc/cloudvault', `${vault}.yaml`)
}

/** Unreadable is not absent. */
export const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT' && error.code !== 'ENOTDIR',
  )

const existing = (path: string): Fault =>
  new Fault(Exit.usage, `${path} exists already; a profile is never overwritten`, {
    stands: 'nothing was contacted, nothing was written',
    next: `cloudvault check ${path}`,
  })

/** @throws Fault 2 */
export const refuseExisting = async (path: string): Promise<void> => {
  if (await exists(path)) throw existing(path)
}

/** The editor schema that is shipped with the program, if it is where a package has it. */
export const schemaFile = async (self: World['self']): Promise<string | undefined> => {
  const path = join(dirname(dirname(self[1] ?? '')), 'profiles', 'profile.schema.json')
  return path.startsWith('/') && (await exists(path)) ? path : undefined
}

/** A new file, readable by its owner only; never an existing one. Under sudo it belongs to the person. */
export const writeNew = async (path: string, text: string, env: World['env']): Promise<void> => {
  const made = await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const file = await open(path, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') throw existing(path)
    throw new Fault(Exit.usage, `${path} cannot be written (${error.code})`, {
      stands: 'nothing was written',
      next: 'the same command with --output PATH, or with --print',
    })
  })
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await giveToPerson([path, ...(made ? madeAbove(path, made) : [])], env)
}

/** Directories that were made on the way to a file, the topmost of them given. */
const madeAbove = (path: string, topmost: string): string[] => {
  const directory = dirname(path)
  return directory.length < topmost.length ? [] : [directory, ...madeAbove(directory, topmost)]
}

const giveToPerson = async (paths: readonly string[], env: World['env']): Promise<void> => {
  if (process.geteuid?.() !== 0 || !env.SUDO_UID || !env.SUDO_GID) return
  for (const path of paths) await chown(path, Number(env.SUDO_UID), Number(env.SUDO_GID))
}
