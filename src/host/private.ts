import type { Stats } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Exit, Fault } from '../fault.ts'

/**
 * Whether a directory that keys lie in is ours alone: whoever could put another one in its place, or write into it,
 * would choose what we believe. Looked at before anything in it is.
 */

/**
 * @param path absolute; what does not exist yet is no fault, for it is made with the right mode
 * @param uid who we are
 * @throws Fault 5 naming the part of the path that somebody else could change
 */
export const requirePrivate = async (what: string, path: string, uid: number): Promise<void> => {
  const refuse = (at: string, why: string, next: string): never => {
    throw new Fault(Exit.trust, `${what} ${path} is not safe: ${at} ${why}`, {
      stands: 'nothing in it was looked at, nothing was contacted',
      next,
    })
  }
  const own = await look(path)
  if (own) {
    if (own.isSymbolicLink())
      refuse(path, 'is a symbolic link', `ls -ld ${path}   (put a directory there, or move the link up)`)
    if (!own.isDirectory()) refuse(path, 'is not a directory', `ls -ld ${path}`)
    if (own.uid !== uid)
      refuse(path, `belongs to user ${own.uid}`, `chown ${uid} ${path}   (if what is in it is yours)`)
    if ((own.mode & 0o077) !== 0)
      refuse(path, `is open to others (mode ${(own.mode & 0o777).toString(8)})`, `chmod 700 ${path}`)
  }
  for (let at = dirname(path); ; at = dirname(at)) {
    const facts = await look(at)
    const why = facts ? exchangeable(facts, uid) : null
    if (why)
      refuse(at, why, `ls -ld ${at}   (its owner is to be root or you, and nobody else may write to it)`)
    if (at === '/') return
  }
}

/** Why others could rename what lies in a directory above ours, or turn a link elsewhere; null when they cannot. */
const exchangeable = (facts: Stats, uid: number): string | null => {
  if (facts.uid !== 0 && facts.uid !== uid) return `belongs to user ${facts.uid}`
  // A link's own mode means nothing; its directory is looked at next. In a sticky directory nobody renames what is ours.
  const sticky = (facts.mode & 0o1000) !== 0
  if (!facts.isSymbolicLink() && !sticky && (facts.mode & 0o022) !== 0) return 'can be written by others'
  return null
}

const look = async (path: string): Promise<Stats | null> => {
  try {
    return await lstat(path)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}
