/**
 * "Did you mean": the nearest known word, or none when nothing is near enough to be helpful.
 */

/** Edits (insert, delete, replace, swap of neighbours) between two short words. */
export const distance = (a: string, b: string): number => {
  const row = (length: number): number[] => Array.from({ length }, (_, i) => i)
  let before: number[] = []
  let last = row(b.length + 1)
  for (let i = 1; i <= a.length; i++) {
    const now = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const best = Math.min(replace, (last[j] ?? 0) + 1, (now[j - 1] ?? 0) + 1)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      now.push(swapped ? Math.min(best, (before[j - 2] ?? 0) + 1) : best)
    }
    before = last
    last = now
  }
  return last[b.length] ?? 0
}

/** The word of `known` that was probably meant: a third of its letters may be wrong, or one is the start of the other. */
export const nearest = (word: string, known: readonly string[]): string | undefined => {
  if (word.length > 40) return undefined
  const plain = (text: string): string => text.toLowerCase().replaceAll('-', '_')
  const ranked = known
    .map((candidate) => ({ candidate, edits: distance(plain(word), plain(candidate)) }))
    .filter(({ candidate, edits }) => edits <= Math.max(1, Math.floor(candidate.length / 3)))
    .filter(({ candidate, edits }) => edits < candidate.length)
    .sort((a, b) => a.edits - b.edits)
  const start = known.find((candidate) => isStart(plain(word), plain(candidate)))
  return ranked[0]?.candidate ?? start
}

/** "compression" and "compress". Shorter starts say too little. */
const isStart = (a: string, b: string): boolean =>
  Math.min(a.length, b.length) >= 4 && (a.startsWith(b) || b.startsWith(a))
