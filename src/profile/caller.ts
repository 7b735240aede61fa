import type { Stats } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Who runs cloudvault, as far as profiles care: whose configuration is looked for, and whose files root may trust.
 */
export type Env = Readonly<Record<string, string | undefined>>

export interface Caller {
  readonly env: Env
  /** Effective user id. */
  readonly uid: number
  /** Where home directories are looked up: /etc/passwd. */
  readonly passwd: string
  /** System-wide profiles: /etc/cloudvault. */
  readonly systemDir: string
}

/** The caller of this process, with the environment that the verb was given. A test puts in other places. */
export const callerOf = (env: Env, other: Partial<Caller> = {}): Caller => ({
  env,
  uid: process.geteuid?.() ?? 0,
  passwd: '/etc/passwd',
  systemDir: '/etc/cloudvault',
  ...other,
})

const id = (text: string | undefined): number | undefined =>
  text !== undefined && /^[0-9]{1,10}$/.test(text) ? Number(text) : undefined

/**
 * Why root may not follow this file, or null. A profile names a command to run, so for root it is code: it must
 * belong to root or to the user behind sudo, and nobody else may write to it.
 */
export const distrust = (
  stats: Pick<Stats, 'uid' | 'gid' | 'mode'>,
  { uid, env }: Pick<Caller, 'uid' | 'env'>,
): string | null => {
  if (uid !== 0) return null
  const why = 'and root would run what it says'
  if (stats.uid !== 0 && stats.uid !== id(env.SUDO_UID))
    return `belongs to user ${stats.uid}, ${why}: chown it to root, or run cloudvault as its owner`
  if (stats.mode & 0o002) return `can be written by everybody, ${why}: chmod o-w it`
  if (stats.mode & 0o020 && stats.gid !== 0 && stats.gid !== id(env.SUDO_GID))
    return `can be written by group ${stats.gid}, ${why}: chmod g-w it`
  return null
}

/**
 * The user's own directory of profiles: $XDG_CONFIG_HOME/cloudvault or ~/.config/cloudvault. Under sudo that of the
 * user behind it, because $HOME and $XDG_CONFIG_HOME may be root's there. Null when there is no home.
 */
export const userDir = async (caller: Caller): Promise<string | null> => {
  const { env } = caller
  if (caller.uid === 0 && env.SUDO_USER && env.SUDO_USER !== 'root') {
    const home = await homeOf(env.SUDO_USER, caller.passwd)
    return home && join(home, '.config', 'cloudvault')
  }
  if (env.XDG_CONFIG_HOME?.startsWith('/')) return join(env.XDG_CONFIG_HOME, 'cloudvault')
  return env.HOME?.startsWith('/') ? join(env.HOME, '.config', 'cloudvault') : null
}

const homeOf = async (user: string, passwd: string): Promise<string | null> => {
  const lines = await readFile(passwd, 'utf8').catch(() => '')
  const home = lines
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === user)?.[5]
  return home?.startsWith('/') ? home : null
}
