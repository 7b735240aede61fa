/**
 * A place for images that are slow to build: one directory per hash of everything that shapes them, made under another
 * name and renamed when complete, with a lock so that two builds do not collide. Hashes that nobody uses any more are removed.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { LabError, sleep } from './exec.ts'
import { aliveSince, startOf } from './processes.ts'

/** Building on a slow machine with a slow mirror takes minutes; nobody waits longer than this for another build. */
const lockDeadline = 30 * 60_000

/** CLOUDVAULT_LAB_CACHE, or a directory under the user's cache. */
export const cacheRoot = (): string =>
  process.env.CLOUDVAULT_LAB_CACHE ??
  path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'cloudvault-lab')

const holderAlive = (lock: string): boolean => {
  try {
    const [pid, start] = readFileSync(path.join(lock, 'holder'), 'utf8').split(' ')
    return aliveSince(Number(pid), start ?? '')
  } catch {
    return false
  }
}

const takeLock = async (root: string, log: (line: string) => void): Promise<() => void> => {
  const lock = path.join(root, 'lock')
  const end = Date.now() + lockDeadline
  for (let attempt = 0; Date.now() < end; attempt++) {
    try {
      mkdirSync(lock)
      writeFileSync(path.join(lock, 'holder'), `${process.pid} ${startOf(process.pid)}`)
      return () => rmSync(lock, { recursive: true, force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    // The holder writes its name just after making the lock: an unnamed lock gets a second before it counts as stale.
    if (attempt > 2 && !holderAlive(lock)) rmSync(lock, { recursive: true, force: true })
    else if (attempt === 3) log('another lab is building the images; waiting for it')
    await sleep(500)
  }
  throw new LabError(`another build holds ${lock} since more than ${lockDeadline / 60_000} minutes`)
}

/** Another checkout on this machine may be about to boot from another hash: only what nobody used for a day goes. */
const keptMs = 24 * 60 * 60_000

const removeOld = (root: string, hash: string): void => {
  for (const entry of readdirSync(root)) {
    if (entry === hash || entry === 'lock' || entry.startsWith('xstate-')) continue
    const place = path.join(root, entry)
    if (Date.now() - statSync(place).mtimeMs > keptMs) rmSync(place, { recursive: true, force: true })
  }
}

/** Notes that an image was used. */
const use = (place: string): string => {
  const now = new Date()
  utimesSync(place, now, now)
  return place
}

/**
 * The directory for `hash`, built by `build` when it is not there yet.
 * @param keepOld true while labs run that may stand on an older image.
 */
export const cached = async (
  hash: string,
  build: (into: string) => Promise<void>,
  keepOld: boolean,
  log: (line: string) => void,
): Promise<string> => {
  const root = cacheRoot()
  const ready = path.join(root, hash)
  if (existsSync(ready)) return use(ready)
  mkdirSync(root, { recursive: true, mode: 0o755 })
  const unlock = await takeLock(root, log)
  try {
    if (existsSync(ready)) return use(ready)
    if (!keepOld) removeOld(root, hash)
    const making = path.join(root, `${hash}.making`)
    rmSync(making, { recursive: true, force: true })
    mkdirSync(making)
    await build(making)
    renameSync(making, ready)
    return ready
  } finally {
    unlock()
  }
}
