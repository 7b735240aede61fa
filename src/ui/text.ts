import prettyBytes from 'pretty-bytes'

/** Numbers as people read them: sizes, durations, ages, fill levels. */

/** "100 GiB". Binary units, three digits. */
export const bytes = (count: number): string => prettyBytes(count, { binary: true })

/** "61 of 100 GiB"; the unit is said once when both share it. */
export const bytesOf = (part: number, whole: number): string => {
  const [amount, unit] = bytes(part).split(' ')
  const total = bytes(whole)
  return total.endsWith(` ${unit}`) ? `${amount} of ${total}` : `${amount} ${unit} of ${total}`
}

const units: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
]

/** "3 d 4 h", "41 min", "12 s", "320 ms": the largest unit, and for days and hours the next one too. */
export const duration = (ms: number): string => {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  const index = units.findIndex(([, size]) => ms >= size)
  const [unit, size] = units[index] ?? ['s', 1000]
  const count = Math.floor(ms / size)
  const [below, smaller] = units[index + 1] ?? ['', 0]
  const rest = index < 2 && smaller ? Math.floor((ms - count * size) / smaller) : 0
  return rest > 0 ? `${count} ${unit} ${rest} ${below}` : `${count} ${unit}`
}

/** How long ago, in its largest unit only: "2 d". */
export const age = (ms: number): string => {
  const [unit, size] = units.find(([, length]) => ms >= length) ?? ['s', 1000]
  return `${Math.max(0, Math.floor(ms / size))} ${unit}`
}

/** "██████░░░░" of ten places; "######...." without Unicode. `share` from 0 to 1. */
export const bar = (share: number, unicode: boolean, places = 10): string => {
  const full = Math.round(Math.min(1, Math.max(0, share)) * places)
  return (unicode ? '█' : '#').repeat(full) + (unicode ? '░' : '.').repeat(places - full)
}

/** "1 provider", "2 providers". */
export const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`
