/**
 * Which faults a soak brings, in which order: chosen by a seed, so that a bad run can be run again. Each round has every
 * kind once, shuffled; the members are hit in turn.
 */

export const faultKinds = [
  'kill the export',
  'freeze shortly',
  'cut the link shortly',
  'kill the pump',
  'kill the monitor',
  'slow link',
  'change my address',
  'freeze past patience',
  'reboot',
] as const

export type FaultKind = (typeof faultKinds)[number]

export interface PlannedFault {
  readonly kind: FaultKind
  readonly member: string
  /** Seconds, for those that last: 2 to 5. */
  readonly seconds: number
}

/** mulberry32: small, and the same everywhere. @returns numbers from 0 up to, without, 1 */
const numbers = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The faults of this seed, without an end; two with the same seed and members are the same. */
export function* faultsOf(seed: number, members: readonly string[]): Generator<PlannedFault, never> {
  const next = numbers(seed)
  let turn = Math.floor(next() * members.length)
  for (;;) {
    const round = faultKinds
      .map((kind) => ({ kind, place: next() }))
      .sort((one, other) => one.place - other.place)
    for (const { kind } of round) {
      turn = (turn + 1) % members.length
      yield { kind, member: members[turn] ?? '', seconds: 2 + Math.floor(next() * 4) }
    }
  }
}
