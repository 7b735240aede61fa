import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, Fault } from '../fault.ts'

/**
 * Replaces a file so that a crash leaves either the old or the new content, never half of one: written beside it,
 * flushed, renamed, and the directory flushed (without the last, the rename itself can be lost).
 * @param mode permission bits of the new file, 0600 unless told
 */
export const writeAtomic = async (
  path: string,
  content: string | Uint8Array,
  mode = 0o600,
): Promise<void> => {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const beside = `${path}.new`
  try {
    const file = await open(beside, 'w', mode)
    try {
      await file.writeFile(content)
      await file.chmod(mode)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(beside, path)
  } catch (error) {
    await rm(beside, { force: true }).catch(() => {}) // on a full disk, half a file is in the way of everything
    throw error
  }
  await flushed(dirname(path))
}

/** @param path of a file or of a directory */
const flushed = async (path: string): Promise<void> => {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

/** The file's text, or null when there is none. Every other failure is an error: a failed look is not a "no". */
export const readIfThere = async (path: string): Promise<string | null> => {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left',
  EDQUOT: 'the quota is used up',
  EROFS: 'its file system is read-only',
  EACCES: 'no permission',
  EPERM: 'no permission',
}

/**
 * The fault of a file of ours that cannot be written: why, and the command that shows more.
 * @param what in words: "the receipt"
 */
export const unwritable = (what: string, path: string, cause: unknown, place = dirname(path)): Fault => {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code ?? 'unknown error'
  const full = code === 'ENOSPC' || code === 'EDQUOT'
  return new Fault(Exit.missing, `${what} ${path} cannot be written: ${reasons[code] ?? code}`, {
    next: full ? `df -h ${place}   (make room there, then the same command again)` : `findmnt -T ${place}`,
    cause,
  })
}

/**
 * Makes sure, before anything is begun, that a directory takes what is going to be written there.
 * @param bytes how much, really written and removed again
 * @throws Fault 3 when it does not
 */
export const requireRoom = async (directory: string, bytes: number): Promise<void> => {
  const probe = join(directory, 'room')
  try {
    await writeAtomic(probe, new Uint8Array(bytes))
    await rm(probe)
  } catch (error) {
    throw unwritable('the state directory', directory, error, directory).with({
      stands: 'nothing was changed',
    })
  }
}

/** Reading, changing and writing a small file takes milliseconds; on a busy machine with a slow disk some seconds. */
const changeMs = 20_000
const changePauseMs = 10

/**
 * One process after the other: whoever makes the file `<path>.changing` may change `path`. flock(1) would be a child
 * process for every change of a few bytes. What a killed process left behind is old soon, and then in nobody's way.
 */
export const oneByOne = async <T>(path: string, change: () => Promise<T>): Promise<T> => {
  const mark = `${path}.changing`
  for (;;) {
    try {
      await (await open(mark, 'wx', 0o600)).close()
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const since = await stat(mark).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => 0,
    )
    // A clock that was set back must not make it last for ever.
    if (Math.abs(since) > changeMs) await rm(mark, { force: true })
    else await sleep(changePauseMs)
  }
  try {
    return await change()
  } finally {
    await rm(mark, { force: true })
  }
}

/**
 * Overwrites a file whose bytes were a key, and flushes that. What a disk, its snapshots and copies elsewhere keep of
 * it, nobody here can reach.
 */
const overwrite = async (file: FileHandle): Promise<void> => {
  await file.write(randomBytes((await file.stat()).size), 0, null, 0)
  await file.sync()
}

/** Removes a file of keys; nothing happens when there is none. */
export const destroyFile = async (path: string): Promise<void> => {
  const file = await open(path, 'r+').catch((error: NodeJS.ErrnoException) =>
    error.code === 'ENOENT' ? null : Promise.reject(error),
  )
  if (file === null) return
  try {
    await overwrite(file)
  } finally {
    await file.close()
  }
  await rm(path)
}

/** Puts a file of keys in the place of another one, which is destroyed: killed at any moment, one of them is there, whole. */
export const exchangeFile = async (next: string, path: string): Promise<void> => {
  const gone = await open(path, 'r+')
  try {
    await flushed(next)
    await rename(next, path)
    await flushed(dirname(path))
    await overwrite(gone)
  } finally {
    await gone.close()
  }
}
