/**
 * Epochs: how two halves of a mirror that were written apart are told from one half that is merely behind. Both halves
 * use the same generation numbers for different things, and Btrfs, given both, takes one half's blocks for the other's
 * without a word. So every degraded writable mount begins a new epoch, written into the filesystem's label: there it
 * is seen before any mount, and inside the encryption, where no provider can write it.
 */

/** A stretch of the vault's life that not all members took part in. Epoch 0, before the first, has a plain label. */
export interface Epoch {
  /** Counts up from 1. */
  readonly n: number
  /** Generation of the newest member that takes part, when it began: who is older has missed it, nothing else. */
  readonly from: number
  /** Eight random hex digits: two machines may both begin an epoch 1. */
  readonly id: string
}

/** An epoch that this client's record knows. */
export interface KnownEpoch extends Epoch {
  /** Who takes part; the others stay in the epoch before. */
  readonly members: readonly string[]
  /** Seen on a member. Without it: intended, and perhaps never written. */
  readonly written?: true
}

/** What one member's superblock says about itself. */
export interface Held {
  readonly generation: number
  /** null: epoch 0. */
  readonly epoch: Epoch | null
}

/** "photos#2.41.9f03c2d1" */
export const epochLabel = (vault: string, { n, from, id }: Epoch): string => `${vault}#${n}.${from}.${id}`

/** Strict on purpose: whatever is not written exactly as we write it is no epoch, and was not begun by cloudvault. */
const suffix = /^#([1-9]\d{0,8})\.(0|[1-9]\d{0,14})\.([0-9a-f]{8})$/

/** @returns null for a label without an epoch: that of a vault that was never written degraded, or one set by hand */
export const parseLabel = (vault: string, label: string): Epoch | null => {
  if (!label.startsWith(vault)) return null
  const [, n, from, id = ''] = suffix.exec(label.slice(vault.length)) ?? []
  return n === undefined ? null : { n: Number(n), from: Number(from), id }
}

const same = (one: Epoch | null, other: Epoch | null): boolean =>
  one?.n === other?.n && one?.from === other?.from && one?.id === other?.id

const number = (epoch: Epoch | null): number => epoch?.n ?? 0

/** How the members that are here belong together, and to what the record knows. */
export type Lineage =
  | { readonly is: 'split'; readonly why: string }
  | {
      readonly is: 'one line'
      /** Of the newest member. */
      readonly epoch: Epoch | null
      /** Whether the record knows that epoch. */
      readonly known: boolean
      /** Later epochs that were seen once and that none of their members shows any more: older copies of all of them. */
      readonly lost: readonly KnownEpoch[]
      /** Later epochs that a member has which is not here. */
      readonly elsewhere: readonly KnownEpoch[]
      /** Intended epochs that were never written: a crash came before the label. */
      readonly never: readonly KnownEpoch[]
    }

/**
 * The rule. Members of one epoch belong together. Of different ones the newest wins, and another is behind, no more,
 * when its epoch is known and it did not go on past the point where the next one began. Everything else is a split.
 * @param found at least one member
 */
export const lineage = (found: Readonly<Record<string, Held>>, history: readonly KnownEpoch[]): Lineage => {
  const members = Object.entries(found)
  const newest = members.reduce<Epoch | null>(
    (best, [, { epoch }]) => (number(epoch) > number(best) ? epoch : best),
    members[0]?.[1].epoch ?? null,
  )
  const knownIn = (entries: readonly KnownEpoch[], epoch: Epoch | null): boolean =>
    epoch === null || entries.some((entry) => same(entry, epoch))
  const behind = members.filter(([, { epoch }]) => !same(epoch, newest))
  const told = withFirst(found, newest, history)
  if (behind.length > 0 && !knownIn(told, newest))
    return { is: 'split', why: `this machine's record does not know epoch ${shown(newest)}` }
  for (const [member, held] of behind) {
    const why = strayed(member, held, { newest, history: told, known: knownIn(told, held.epoch) })
    if (why !== null) return { is: 'split', why }
  }
  const later = history.filter((entry) => entry.n > number(newest))
  const complete = later.filter((entry) => entry.members.every((member) => found[member] !== undefined))
  const never = complete.filter((entry) => entry.written !== true)
  for (const entry of never) {
    // Its members wrote, perhaps, and crashed before the label: who was left out must not have written meanwhile.
    const [wrote] = members.filter(
      ([member, { generation }]) => !entry.members.includes(member) && generation > entry.from,
    )
    if (wrote) return { is: 'split', why: `${wrote[0]} was written while the others went on without it` }
  }
  return {
    is: 'one line',
    epoch: newest,
    known: knownIn(history, newest),
    lost: complete.filter((entry) => entry.written === true),
    elsewhere: later.filter((entry) => !complete.includes(entry)),
    never,
  }
}

/** Who shows an epoch. */
export const carriers = (found: Readonly<Record<string, Held>>, epoch: Epoch | null): string[] =>
  Object.entries(found).flatMap(([member, held]) => (same(held.epoch, epoch) ? [member] : []))

/**
 * A record that was restored from an older kit does not know of epochs. The first one tells by itself what it began
 * from: before it there is only epoch 0. Of a later one nobody can say which it followed.
 */
const withFirst = (
  found: Readonly<Record<string, Held>>,
  newest: Epoch | null,
  history: readonly KnownEpoch[],
): readonly KnownEpoch[] =>
  newest?.n === 1 && history.every(({ n }) => n !== 1)
    ? [{ ...newest, members: carriers(found, newest), written: true }, ...history]
    : history

/** Why a member that is not of the newest epoch is more than behind; null when it is only that. */
const strayed = (
  member: string,
  { generation, epoch }: Held,
  context: {
    readonly newest: Epoch | null
    readonly history: readonly KnownEpoch[]
    readonly known: boolean
  },
): string | null => {
  if (number(epoch) === number(context.newest))
    return `two different epochs ${number(epoch)} were begun apart`
  if (!context.known) return `this machine's record does not know epoch ${shown(epoch)} of ${member}`
  const next = context.history.find((entry) => entry.n === number(epoch) + 1)
  if (next === undefined) return `this machine's record does not know where ${member} was left behind`
  if (generation <= next.from) return null
  return `${member} went on to generation ${generation}, the others went on without it from ${next.from}`
}

/** "2 (9f03c2d1)", "0". */
export const shown = (epoch: Epoch | null): string => (epoch === null ? '0' : `${epoch.n} (${epoch.id})`)

/**
 * The history after a look at the members: what they show is written, what never came to be is forgotten.
 * @param members everybody who shows `seen`, when the record does not know it yet
 */
export const learned = (
  history: readonly KnownEpoch[],
  seen: Epoch | null,
  gone: readonly KnownEpoch[],
  members: readonly string[],
): readonly KnownEpoch[] => {
  const kept = history
    .filter((entry) => !gone.includes(entry))
    .map((entry): KnownEpoch => (same(entry, seen) ? { ...entry, written: true } : entry))
  if (seen === null || kept.some((entry) => same(entry, seen))) return kept
  return [...kept, { ...seen, members, written: true }]
}
