import { randomBytes } from 'node:crypto'
import { type FileHandle, open, realpath, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Exit, Fault } from '../fault.ts'
import { readText } from './text.ts'

/**
 * Puts a changed profile in the place of the old one: whole or not at all, with the same owner and mode, and only if
 * nobody else changed it meanwhile.
 */

/**
 * Replaces the text of a profile file. A symbolic link stays one; its target is replaced.
 * @param before the text the change was made from
 * @throws Fault exit 6 when the file changed since; exit 3 when it cannot be written. The old file then still stands.
 */
export const writeProfile = async (path: string, before: string, after: string): Promise<void> => {
  if ((await readText(path)) !== before)
    throw new Fault(Exit.busy, `${path} was changed while cloudvault worked on it`, {
      stands: 'the file is as the other change left it',
      next: `cloudvault check ${path}`,
    })
  if (before === after) return
  const target = await realpath(path)
  const directory = dirname(target)
  const temporary = join(directory, `.${basename(target)}.${randomBytes(6).toString('hex')}`)
  try {
    await writeBeside(temporary, target, after)
    await rename(temporary, target)
    await syncDirectory(directory)
  } catch (error) {
    await unlink(temporary).catch(() => undefined)
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown reason'
    throw new Fault(Exit.missing, `${path} cannot be written (${code})`, {
      stands: 'the old profile, unchanged',
      cause: error,
    })
  }
}

const writeBeside = async (temporary: string, target: string, text: string): Promise<void> => {
  const { mode, uid, gid } = await stat(target)
  const handle = await open(temporary, 'wx', 0o600)
  try {
    const own = await handle.stat()
    if (own.uid !== uid || own.gid !== gid) await handle.chown(uid, gid)
    await handle.chmod(mode & 0o7777)
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Without it a power cut can undo the rename. */
const syncDirectory = async (path: string): Promise<void> => {
  let handle: FileHandle | undefined
  try {
    handle = await open(path, 'r')
    await handle.sync()
  } finally {
    await handle?.close()
  }
}
