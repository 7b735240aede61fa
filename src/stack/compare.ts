import { type Epoch, type Held, type KnownEpoch, lineage } from '../record/epoch.ts'
import { type RecordData, wasCut } from '../record/record.ts'

/**
 * What the superblocks of the members that are here mean, held against what the record knows: one state, an older
 * copy, a half that lacks what the other has, or two states that were written apart. Pure: it decides nothing.
 */

/** What the generations of members of one epoch mean together. */
export type Freshness =
  | { readonly is: 'fresh'; readonly generation: number }
  | { readonly is: 'stale'; readonly members: readonly string[]; readonly generation: number }
  | { readonly is: 'rollback'; readonly generation: number; readonly pinned: number }

/** @param found generation per member; @param pinned highest generation ever proved */
export const freshness = (found: Readonly<Record<string, number>>, pinned: number): Freshness => {
  const newest = Math.max(...Object.values(found))
  if (newest < pinned) return { is: 'rollback', generation: newest, pinned }
  const behind = Object.entries(found).filter(([, generation]) => generation < newest)
  return behind.length === 0
    ? { is: 'fresh', generation: newest }
    : { is: 'stale', members: behind.map(([member]) => member), generation: newest }
}

export type Compared =
  | { readonly is: 'split'; readonly why: string }
  | {
      readonly is: 'one state'
      readonly generation: number
      readonly epoch: Epoch | null
      /** Behind the newest one here. */
      readonly stale: readonly string[]
      /** Of those: nothing that this record knows explains it. */
      readonly surprising: readonly string[]
      /** Everybody here is older than what was proved. */
      readonly rolledBack: boolean
      /** Why this part of the vault may not be written without the rest; null when it may. */
      readonly lacking: string | null
      /** An epoch that this record does not know, and a member is away: nobody can say what it was begun without. */
      readonly stranger: boolean
      /** Epochs of the record that are over: never written, or rolled back. */
      readonly gone: readonly KnownEpoch[]
    }

export interface Circumstances {
  /** How many members may be away and all data still be there. */
  readonly spare: number
  /** Another machine had it open, and was cut off: like a crash of this one. */
  readonly takenOver: boolean
}

/** @param found what the members that take part hold; at least one */
export const compare = (
  found: Readonly<Record<string, Held>>,
  record: RecordData,
  { spare, takenOver }: Circumstances,
): Compared => {
  const line = lineage(found, record.epochs ?? [])
  if (line.is === 'split') return line
  const here = Object.keys(found)
  const away = Object.keys(record.members).filter((member) => !here.includes(member))
  const generation = Math.max(...here.map((member) => held(found, member)))
  const stale = here.filter((member) => held(found, member) < generation)
  const older = here.filter((member) => held(found, member) < pinOf(record, member))
  const all = away.length === 0
  const rolledBack =
    line.lost.length > 0 || (all ? generation < record.generation : older.length === here.length)
  return {
    is: 'one state',
    generation,
    epoch: line.epoch,
    stale,
    surprising: stale.filter(
      (member) => older.includes(member) || !(takenOver || isKnownBehind(record, member)),
    ),
    rolledBack,
    lacking: all || rolledBack ? null : lackOf(record, { line, generation, stale, here, away, spare }),
    stranger: !all && !line.known,
    gone: [...line.never, ...line.lost],
  }
}

const held = (found: Readonly<Record<string, Held>>, member: string): number => found[member]?.generation ?? 0

/** What this very member had provably reached. */
const pinOf = (record: RecordData, member: string): number => record.members[member]?.generation ?? 0

/**
 * Without a clean `down` the last commit may have reached one member only; and a copy that was known to be behind when
 * it was last seen has a right to be. Anything else is an old copy served instead of a newer one.
 */
const isKnownBehind = (record: RecordData, member: string): boolean =>
  wasCut(record) ||
  record.resilver?.members.includes(member) === true ||
  pinOf(record, member) < record.generation

const lackOf = (
  record: RecordData,
  part: {
    readonly line: { readonly elsewhere: readonly KnownEpoch[] }
    readonly generation: number
    readonly stale: readonly string[]
    readonly here: readonly string[]
    readonly away: readonly string[]
    readonly spare: number
  },
): string | null => {
  const { generation, here, away, spare } = part
  const [later] = part.line.elsewhere
  if (later) return `${later.members.join(', ')} went on without it from generation ${later.from}`
  if (generation < record.generation)
    return `it holds generation ${generation}, ${away.join(', ')} holds ${record.generation}`
  const unsure = here.filter(
    (member) => part.stale.includes(member) || record.resilver?.members.includes(member),
  )
  if (away.length + unsure.length > spare)
    return `${unsure.join(', ')} missed writes and was not made whole since`
  return null
}
