/**
 * Sizes and durations as people write them in a profile, read strictly: a misread unit makes a disk of the wrong
 * size. Units are binary; the decimal ones (GB) are refused, because half of the world means 10^9 and half 2^30.
 */

/** A parsed number, or why the text is not one. */
export type Parsed = { readonly value: number } | { readonly fault: string }

const KiB = 1024
const sizeUnits: Readonly<Record<string, number>> = {
  B: 1,
  KiB,
  K: KiB,
  MiB: KiB ** 2,
  M: KiB ** 2,
  GiB: KiB ** 3,
  G: KiB ** 3,
  TiB: KiB ** 4,
  T: KiB ** 4,
}

/** For editors and the published JSON Schema; `parseSize` says the same with reasons. */
export const sizePattern = '^[0-9]+(\\.[0-9]+)?(B|KiB|MiB|GiB|TiB|K|M|G|T)$'
export const durationPattern = '^[0-9]+(\\.[0-9]+)?(ms|s|m|h)$'

/** LUKS sectors, NBD blocks and Btrfs sectors are 4096 bytes here: a disk that ends inside one loses its tail. */
export const blockBytes = 4096
/** Btrfs wants about 110 MiB a device; below 256 MiB nothing useful fits beside its metadata. */
export const smallestDisk = 256 * KiB ** 2
/** Nothing below knows a larger single file on every file system a server may have (ext4 stops at 16 TiB). */
export const largestDisk = 16 * KiB ** 4

const number = /^([+-]?)([0-9]+(?:\.[0-9]+)?)(.*)$/s

/** "100GiB", "1.5T" → bytes. The fault says what to write instead. */
export const parseSize = (text: string): Parsed => {
  const [, sign, digits, unit] = number.exec(text) ?? []
  if (digits === undefined || unit === undefined) return { fault: 'not a size' }
  if (sign === '-') return { fault: 'a size cannot be negative' }
  if (sign === '+') return { fault: 'write it without the +' }
  if (unit === '') return { fault: `the unit is missing; did you mean ${digits}GiB?` }
  const factor = sizeUnits[unit]
  if (factor === undefined) return { fault: wrongSizeUnit(digits, unit) }
  const value = Number(digits) * factor
  if (!Number.isInteger(value)) return { fault: 'is not a whole number of bytes' }
  if (!Number.isSafeInteger(value)) return { fault: 'is larger than any disk' }
  return { value }
}

const wrongSizeUnit = (digits: string, unit: string): string => {
  const decimal = /^([kmgtp])b$/i.exec(unit)?.[1]?.toUpperCase()
  if (decimal === 'P') return 'is larger than any disk; units end at TiB'
  if (decimal)
    return `${unit} is ambiguous (powers of 1000 or of 1024?); write ${digits}${decimal}iB or ${digits}${decimal}`
  const near = Object.keys(sizeUnits).find((known) => known.toLowerCase() === unit.trim().toLowerCase())
  if (near) return `write ${digits}${near}, without a space and in this case`
  if (/^p(ib)?$/i.test(unit)) return 'is larger than any disk; units end at TiB'
  if (/^e[0-9]/i.test(unit)) return 'exponents are not read; write the number in full, with a unit'
  return 'unknown unit'
}

/** A size that a member's disk can have: 256 MiB to 16 TiB in whole blocks of 4096 bytes. */
export const parseDiskSize = (text: string): Parsed => {
  const parsed = parseSize(text)
  if ('fault' in parsed) return parsed
  const { value } = parsed
  if (value < smallestDisk) return { fault: `is too small; at least ${formatSize(smallestDisk)}` }
  if (value > largestDisk) return { fault: `is too large; at most ${formatSize(largestDisk)}` }
  if (value % blockBytes === 0) return parsed
  const up = Math.ceil(value / blockBytes) * blockBytes
  return { fault: `is not a multiple of ${blockBytes} bytes; the next one is ${formatSize(up)}` }
}

/** Bytes → the shortest exact text that `parseSize` reads back: 107374182400 → "100GiB". */
export const formatSize = (bytes: number): string => {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB']) {
    const factor = sizeUnits[unit] ?? 1
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`
  }
  return `${bytes}B`
}

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
const longest = 24 * 3_600_000

/** "30s", "1.5m" → milliseconds, more than zero and at most a day: zero would mean "wait for ever". */
export const parseDuration = (text: string): Parsed => {
  const [, sign, digits, unit] = number.exec(text) ?? []
  if (digits === undefined || unit === undefined) return { fault: 'not a duration' }
  if (sign !== '') return { fault: 'write it without a sign' }
  if (unit === '') return { fault: `the unit is missing; did you mean ${digits}s?` }
  const factor = durationUnits[unit]
  if (factor === undefined) return { fault: wrongDurationUnit(digits, unit) }
  const value = Number(digits) * factor
  if (value === 0) return { fault: 'zero would mean to wait for ever' }
  if (value > longest) return { fault: 'is longer than a day' }
  return Number.isInteger(value) ? { value } : { fault: 'is not a whole number of milliseconds' }
}

const wrongDurationUnit = (digits: string, unit: string): string => {
  const word = unit.trim().toLowerCase()
  if (/^:[0-9]/.test(word)) return `clock notation is not read; write it as ${digits}m or ${digits}h`
  if (/^(d|days?)$/.test(word)) return 'days are not a unit here; at most 24h'
  const meant = /^(ms|milli)/.test(word) ? 'ms' : (/^([smh])/.exec(word)?.[1] ?? null)
  return meant ? `write ${digits}${meant}` : 'unknown unit'
}

/** Milliseconds → text that `parseDuration` reads back: 90000 → "90s". */
export const formatDuration = (ms: number): string => {
  for (const unit of ['h', 'm', 's']) {
    const factor = durationUnits[unit] ?? 1
    if (ms >= factor && ms % factor === 0) return `${ms / factor}${unit}`
  }
  return `${ms}ms`
}
