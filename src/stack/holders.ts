import { readdir, readFile, readlink } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Who keeps a mount busy, read from /proc by link targets only: opening or stating anything on the mount itself could
 * hang with a silent server.
 */

export interface Holder {
  readonly pid: number
  readonly command: string
  /** What it holds: "cwd /vault/photos/2024", "file /vault/photos/x.jpg". */
  readonly what: string
  /** When it started, in the kernel's ticks: with the pid it names this very process, for pids are given out again. */
  readonly started: string
}

/** @param at the mount point, absolute and without a trailing slash */
export const holdersOf = async (at: string): Promise<Holder[]> => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(pids.map(async (pid) => ((await isUpkeep(pid)) ? null : holderOf(pid, at))))
  return found.filter((holder) => holder !== null)
}

export const describeHolder = ({ pid, command, what }: Holder): string => `pid ${pid} ${command}: ${what}`

/** Another filesystem mounted inside ours keeps it busy too. */
export const mountsInside = (mountinfo: string, at: string): string[] =>
  mountinfo
    .split('\n')
    .map((line) => unescapeMountinfo(line.split(' ')[4] ?? ''))
    .filter((point) => point.startsWith(`${at}/`))

/** mountinfo writes space, tab, newline and backslash as octal. */
export const unescapeMountinfo = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** What cloudvault itself lets the kernel do is ours to end, not somebody at work in there. */
const isUpkeep = async (pid: string): Promise<boolean> =>
  /(^|\/)btrfs\0(scrub|balance|replace|device|filesystem)\0/.test(
    await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
  )

const holderOf = async (pid: string, at: string): Promise<Holder | null> => {
  const started = await startOf(pid)
  const what = await whatHolds(pid, at)
  if (what === null || started === null) return null
  const command = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '?')).trim()
  return { pid: Number(pid), command, what, started }
}

const whatHolds = async (pid: string, at: string): Promise<string | null> => {
  const inside = (target: string | null): target is string =>
    target === at || (target?.startsWith(`${at}/`) ?? false)
  const link = (name: string): Promise<string | null> => readlink(`/proc/${pid}/${name}`).catch(() => null)
  for (const name of ['cwd', 'root', 'exe']) {
    const target = await link(name)
    if (inside(target)) return `${name} ${target}`
  }
  for (const descriptor of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
    const target = await link(`fd/${descriptor}`)
    if (inside(target)) return `file ${target}`
  }
  // A library or a database may be mapped, and its descriptor closed.
  const mapped = mappedFiles(await readFile(`/proc/${pid}/maps`, 'utf8').catch(() => '')).find(inside)
  return mapped === undefined ? null : `map ${mapped}`
}

/** Paths in /proc/PID/maps: everything from the sixth field on, a newline written as octal. */
export const mappedFiles = (maps: string): string[] =>
  maps.split('\n').flatMap((line) => /^(?:\S+ +){5}(\/.*)$/.exec(line)?.[1] ?? [])

const startOf = async (pid: string): Promise<string | null> => {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  // The second field is the command in brackets, and may hold brackets and spaces itself; the start is the 22nd.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
}

/** SIGTERM, and after this many milliseconds SIGKILL. */
const politeMs = 10_000
const forceMs = 5_000

/**
 * Ends exactly these processes, each only while it still is the one that was listed.
 * @returns those that do not end: they hang in the kernel
 */
export const endHolders = async (holders: readonly Holder[]): Promise<Holder[]> => {
  let left = await signalAndWait(holders, 'SIGTERM', politeMs)
  if (left.length > 0) left = await signalAndWait(left, 'SIGKILL', forceMs)
  return left
}

const signalAndWait = async (
  holders: readonly Holder[],
  signal: 'SIGTERM' | 'SIGKILL',
  ms: number,
): Promise<Holder[]> => {
  let left = await stillThere(holders)
  for (const { pid } of left) send(pid, signal)
  for (const end = performance.now() + ms; left.length > 0 && performance.now() < end; ) {
    await sleep(100)
    left = await stillThere(left)
  }
  return left
}

const send = (pid: number, signal: 'SIGTERM' | 'SIGKILL'): void => {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // it ended by itself
  }
}

/** A zombie is there, and holds nothing any more. */
const stillThere = async (holders: readonly Holder[]): Promise<Holder[]> => {
  const found = await Promise.all(
    holders.map(async (holder) => {
      if ((await startOf(`${holder.pid}`)) !== holder.started) return null
      const stat = await readFile(`/proc/${holder.pid}/stat`, 'utf8').catch(() => ') Z')
      return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z') ? null : holder
    }),
  )
  return found.filter((holder) => holder !== null)
}
