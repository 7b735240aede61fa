/**
 * Looks at the host's processes through /proc, without a tool: who is alive, whose command line carries our name, which
 * of a machine's processes is its init.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

const read = (file: string): string => {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Start time of a process in clock ticks, as text; with the pid it names a process for good. Empty: no such process. */
export const startOf = (pid: number): string => {
  const stat = read(`/proc/${pid}/stat`)
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? '' : (fields[19] ?? '')
}

/** Whether this very process still lives (not one that got its number later). */
export const aliveSince = (pid: number, start: string): boolean => start !== '' && startOf(pid) === start

export const allPids = (): number[] =>
  readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)

/** Processes that have `argument` as one whole word of their command line. */
export const pidsByArgument = (argument: string): number[] =>
  allPids().filter((pid) => read(`/proc/${pid}/cmdline`).split('\0').includes(argument))

/** The command line as one text; what a process that renamed itself shows. */
export const pidTitle = (pid: number): string => read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')

const parentOf = (pid: number): number => {
  const stat = read(`/proc/${pid}/stat`)
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

/** Whether another process holds it by ptrace(2). */
export const isTraced = (pid: number): boolean => !/^TracerPid:\t0$/m.test(read(`/proc/${pid}/status`))

const numberInside = (pid: number): string =>
  /^NSpid:.*\t(\d+)$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? ''

/** The host's pid of the init of the container that the nspawn process `supervisor` runs; null before it is there. */
export const initOf = (supervisor: number): number | null =>
  allPids().find(
    (pid) =>
      pid !== supervisor && parentOf(pid) === supervisor && numberInside(pid) === '1' && startOf(pid) !== '',
  ) ?? null

const pidNamespace = (pid: number): string => {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`)
  } catch {
    return ''
  }
}

/** Every process in the pid namespace of a container's init, the init included. */
export const pidsOfContainer = (init: number): number[] => {
  const namespace = pidNamespace(init)
  return namespace === '' ? [] : allPids().filter((pid) => pidNamespace(pid) === namespace)
}

/** Sends a signal; a process that is gone is no error. */
export const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch {
    // It ended between being found and being told.
  }
}
