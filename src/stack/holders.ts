import { readdir, readFile, readlink } from 'node:fs/promises'

/**
 * Who keeps a mount busy, read from /proc by link targets only: opening or stating anything on the mount itself could
 * hang with a silent server.
 */

export interface Holder {
  readonly pid: number
  readonly command: string
  /** What it holds: "cwd /vault/photos/2024", "file /vault/photos/x.jpg". */
  readonly what: string
}

/** @param at the mount point, absolute and without a trailing slash */
export const holdersOf = async (at: string): Promise<Holder[]> => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(pids.map((pid) => holderOf(pid, at)))
  return found.filter((holder) => holder !== null)
}

/** Another filesystem mounted inside ours keeps it busy too. */
export const mountsInside = (mountinfo: string, at: string): string[] =>
  mountinfo
    .split('\n')
    .map((line) => unescapeMountinfo(line.split(' ')[4] ?? ''))
    .filter((point) => point.startsWith(`${at}/`))

/** mountinfo writes space, tab, newline and backslash as octal. */
export const unescapeMountinfo = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

const holderOf = async (pid: string, at: string): Promise<Holder | null> => {
  const inside = (target: string | null): target is string =>
    target === at || (target?.startsWith(`${at}/`) ?? false)
  const link = (name: string): Promise<string | null> => readlink(`/proc/${pid}/${name}`).catch(() => null)
  for (const name of ['cwd', 'root', 'exe']) {
    const target = await link(name)
    if (inside(target)) return { pid: Number(pid), command: await commandOf(pid), what: `${name} ${target}` }
  }
  for (const descriptor of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
    const target = await link(`fd/${descriptor}`)
    if (inside(target)) return { pid: Number(pid), command: await commandOf(pid), what: `file ${target}` }
  }
  return null
}

const commandOf = async (pid: string): Promise<string> =>
  (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '?')).trim()
