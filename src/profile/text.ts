import { constants, type Stats } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { ProfileFaults } from './faults.ts'

/**
 * A profile file as text. Looks before it opens, so that a FIFO, a device or a directory in its place is refused
 * and never read; bounded, so that no file fills the memory.
 */

const largest = 1024 * 1024

/**
 * Reads a profile's text, byte order mark included.
 * @throws ProfileFaults when it is missing, unreadable, not a regular file, larger than 1 MiB or not UTF-8.
 */
export const readText = async (path: string, judge?: (stats: Stats) => string | null): Promise<string> => {
  const refuse = (message: string, line = 0, column = 0): never => {
    throw new ProfileFaults(path, [{ file: path, line, column, path: '', message }])
  }
  try {
    const before = await stat(path)
    if (!before.isFile()) return refuse(`is ${whatItIs(before)}, not a file`)
    // NONBLOCK: should a FIFO have taken its place since, opening it must not wait for a writer.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const stats = await handle.stat()
      if (!stats.isFile()) return refuse(`is ${whatItIs(stats)}, not a file`)
      if (stats.size > largest) return refuse('is larger than 1 MiB; that is not a profile')
      const objection = judge?.(stats)
      if (objection) return refuse(objection)
      const buffer = Buffer.alloc(largest + 1)
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0)
      if (bytesRead > largest) return refuse('is larger than 1 MiB; that is not a profile')
      return decode(buffer.subarray(0, bytesRead), refuse)
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (error instanceof ProfileFaults) throw error
    return refuse(whyUnreadable(error))
  }
}

const whatItIs = (stats: Stats): string => {
  if (stats.isDirectory()) return 'a directory'
  if (stats.isFIFO()) return 'a FIFO'
  if (stats.isSocket()) return 'a socket'
  return stats.isCharacterDevice() || stats.isBlockDevice() ? 'a device' : 'something else'
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'may not be read by this user',
  EPERM: 'may not be read by this user',
  ELOOP: 'is a symbolic link that leads to itself',
  ENOTDIR: 'a part of the path is not a directory',
  ENAMETOOLONG: 'the path is too long',
}

const whyUnreadable = (error: unknown): string => {
  const code = (error as NodeJS.ErrnoException | null)?.code ?? ''
  return reasons[code] ?? `cannot be read (${code || 'bad path'})`
}

const decode = (bytes: Buffer, refuse: (message: string, line: number, column: number) => never): string => {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    // As a stream, so that a character cut in two counts as broken from its first byte.
    const sound = new TextDecoder().decode(bytes.subarray(0, firstBroken(bytes)), { stream: true })
    const lines = sound.split('\n')
    const column = (lines.at(-1)?.length ?? 0) + 1
    return refuse('is not UTF-8 from here on; save it as UTF-8', lines.length, column)
  }
}

/** Offset of the first byte that is not UTF-8, found by halving: every valid prefix decodes (as a stream). */
const firstBroken = (bytes: Buffer): number => {
  const sound = (length: number): boolean => {
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, length), { stream: true })
      return true
    } catch {
      return false
    }
  }
  let good = 0
  let bad = bytes.length + 1
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2)
    if (sound(middle)) good = middle
    else bad = middle
  }
  return Math.min(good, bytes.length)
}
