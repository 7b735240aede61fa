import { expect, test } from 'vitest'
import type { Redundancy } from '../../../src/profile/profile.ts'
import { usableBytes } from '../../../src/stack/capacity.ts'

test.each<[Redundancy, number[], number]>([
  ['single', [10, 20, 5], 35],
  ['raid1', [10, 10], 10],
  ['raid1', [10, 30], 10],
  ['raid1', [10, 20, 30], 30],
  ['raid1', [10, 20, 40], 30],
  ['raid1', [10, 10, 10], 15],
  ['raid1', [10], 0],
  ['raid1c3', [10, 10, 10], 10],
  ['raid1c3', [10, 20, 30], 10],
  ['raid1c3', [10, 10, 40, 40], 20],
  ['raid1c3', [20, 20, 20, 40], 30],
  ['raid1c4', [10, 10, 10, 10, 10], 12],
  ['raid10', [10, 10, 10, 10], 20],
  ['raid10', [10, 20, 30, 30], 40],
  ['raid10', [10, 10, 10], 10],
])('%s on %j holds %i', (redundancy, sizes, usable) => {
  expect(usableBytes(redundancy, sizes)).toBe(usable)
})

test('never more than a simulation of the allocator gives, and never much less', () => {
  let seed = 7
  const random = (below: number): number => {
    seed = (seed * 48271) % 2147483647
    return seed % below
  }
  for (let round = 0; round < 300; round++) {
    const sizes = Array.from({ length: 2 + random(5) }, () => 1 + random(200))
    for (const [redundancy, copies] of [
      ['raid1', 2],
      ['raid1c3', 3],
    ] as const) {
      const simulated = allocate(sizes, copies)
      const computed = usableBytes(redundancy, sizes)
      expect(computed).toBeGreaterThanOrEqual(simulated)
      expect(computed - simulated).toBeLessThanOrEqual(copies)
    }
  }
})

/** Chunk by chunk, each on the members with the most room. */
const allocate = (sizes: readonly number[], copies: number): number => {
  const room = [...sizes]
  for (let stored = 0; ; stored++) {
    room.sort((a, b) => b - a)
    if ((room[copies - 1] ?? 0) < 1) return stored
    for (let index = 0; index < copies; index++) room[index] = (room[index] ?? 0) - 1
  }
}
