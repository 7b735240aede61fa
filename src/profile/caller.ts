import type { Stats } from 'node:fs'

/**
 * Who runs cloudvault, as far as profiles care: whose configuration is looked for, and whose files root may trust.
 */
export interface Caller {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Effective user id. */
  readonly uid: number
  /** Home directories of other users; a test has its own. Default /etc/passwd. */
  readonly passwd?: string
  /** System-wide profiles. Default /etc/cloudvault. */
  readonly systemDir?: string
}

/** The caller of this process, with the environment that the verb was given. */
export const callerOf = (env: Caller['env']): Caller => ({ env, uid: process.geteuid?.() ?? 0 })

const id = (text: string | undefined): number | undefined =>
  text !== undefined && /^[0-9]{1,10}$/.test(text) ? Number(text) : undefined

/**
 * Why root may not follow this file, or null. A profile names a command to run, so for root it is code: it must
 * belong to root or to the user behind sudo, and nobody else may write to it.
 */
export const distrust = (stats: Pick<Stats, 'uid' | 'gid' | 'mode'>, { uid, env }: Caller): string | null => {
  if (uid !== 0) return null
  const sudoUid = id(env.SUDO_UID)
  const sudoGid = id(env.SUDO_GID)
  if (stats.uid !== 0 && stats.uid !== sudoUid)
    return `belongs to user ${stats.uid}, and root would run what it says: chown it to root, or run cloudvault as its owner`
  if (stats.mode & 0o002) return 'can be written by everybody, and root would run what it says: chmod o-w it'
  if (stats.mode & 0o020 && stats.gid !== 0 && stats.gid !== sudoGid)
    return `can be written by group ${stats.gid}, and root would run what it says: chmod g-w it`
  return null
}
