import { readdir, readFile } from 'node:fs/promises'

/** What /proc tells about processes of this machine. */

/** Ticks of user and system time, and of the start since boot, are counted in these per second on every Linux. */
const ticksPerSecond = 100

const read = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '')

/** The fields of /proc/PID/stat behind the program's name (which may hold spaces and brackets); [0] is the state. */
const statOf = async (pid: number | string): Promise<string[]> => {
  const text = await read(`/proc/${pid}/stat`)
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

/** The first process that this one has started and that still runs. */
export const childOf = async (parent: number): Promise<number | null> => {
  for (const pid of await readdir('/proc').catch(() => []))
    if (/^\d+$/.test(pid) && (await statOf(pid))[1] === `${parent}`) return Number(pid)
  return null
}

/** The process of a group (or what is left of it) with just these words. */
export const inGroup = async (group: number, words: string): Promise<number | null> => {
  for (const pid of await readdir('/proc').catch(() => []))
    if (/^\d+$/.test(pid) && (await statOf(pid))[2] === `${group}` && (await wordsOf(pid)) === words)
      return Number(pid)
  return null
}

const wordsOf = async (pid: string): Promise<string> =>
  (await read(`/proc/${pid}/cmdline`)).split('\0').join(' ').trim()

export interface Cost {
  readonly memoryBytes: number
  /** Of one core, since it started, 0 to 1. */
  readonly cpuShare: number
}

/** @returns null when there is no such process any more */
export const costOf = async (pid: number): Promise<Cost | null> => {
  const [status, stat, uptime] = await Promise.all([
    read(`/proc/${pid}/status`),
    statOf(pid),
    read('/proc/uptime'),
  ])
  const kilobytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN)
  const [user, system, start] = [stat[11], stat[12], stat[19]].map((field) => Number(field) / ticksPerSecond)
  const ran = Number.parseFloat(uptime) - (start ?? Number.NaN)
  const cpuShare = ((user ?? 0) + (system ?? 0)) / Math.max(ran, 1)
  return Number.isFinite(kilobytes) && Number.isFinite(cpuShare)
    ? { memoryBytes: kilobytes * 1024, cpuShare }
    : null
}
