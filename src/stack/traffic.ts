import { readFile } from 'node:fs/promises'

/** What goes over a member's device, from the kernel's own counters in sysfs: never through the device, nor the mount. */

/** Counters since the device was attached. */
export interface Traffic {
  /** performance.now() when they were read. */
  readonly at: number
  readonly reads: number
  readonly readBytes: number
  readonly readMs: number
  readonly writes: number
  readonly writtenBytes: number
  readonly writeMs: number
  readonly inFlight: number
}

/** What went over it between two looks. */
export interface Rates {
  readonly readBytesPerS: number
  readonly writeBytesPerS: number
  /** Requests that wait for an answer now. */
  readonly inFlight: number
  /** Milliseconds that an answer took on average; absent when nothing was asked. */
  readonly readMs?: number
  readonly writeMs?: number
}

/** @param device "/dev/nbd0". @returns null when it is not there */
export const readTraffic = async (device: string, root = '/sys/block'): Promise<Traffic | null> => {
  const name = device.split('/').at(-1) ?? ''
  const text = await readFile(`${root}/${name}/stat`, 'utf8').catch(() => null)
  return text === null ? null : parseStat(text, performance.now())
}

/** Sectors are of 512 bytes here, whatever the device's own are (Documentation/block/stat.rst). */
export const parseStat = (text: string, at: number): Traffic | null => {
  const numbers = text.trim().split(/\s+/).map(Number)
  const [reads, , readSectors, readMs, writes, , writtenSectors, writeMs, inFlight] = numbers
  if (numbers.length < 9 || !numbers.every((number) => Number.isSafeInteger(number) && number >= 0))
    return null
  return {
    at,
    reads: reads ?? 0,
    readBytes: (readSectors ?? 0) * 512,
    readMs: readMs ?? 0,
    writes: writes ?? 0,
    writtenBytes: (writtenSectors ?? 0) * 512,
    writeMs: writeMs ?? 0,
    inFlight: inFlight ?? 0,
  }
}

/** @returns null when the counters began anew in between: the device was attached again */
export const ratesOf = (before: Traffic, after: Traffic): Rates | null => {
  const seconds = (after.at - before.at) / 1000
  const read = after.readBytes - before.readBytes
  const written = after.writtenBytes - before.writtenBytes
  if (seconds <= 0 || read < 0 || written < 0) return null
  const average = (ms: number, requests: number): number => Math.round((ms / requests) * 10) / 10
  const reads = after.reads - before.reads
  const writes = after.writes - before.writes
  return {
    readBytesPerS: Math.round(read / seconds),
    writeBytesPerS: Math.round(written / seconds),
    inFlight: after.inFlight,
    ...(reads > 0 ? { readMs: average(after.readMs - before.readMs, reads) } : {}),
    ...(writes > 0 ? { writeMs: average(after.writeMs - before.writeMs, writes) } : {}),
  }
}
