import type { Redundancy } from '../profile/profile.ts'

/**
 * How much fits on members of different size when every block is stored as often as the redundancy says. Btrfs gives
 * each chunk to the members with the most room, so what counts is how evenly the room is spread.
 */

const copies: Readonly<Record<Redundancy, number>> = {
  single: 1,
  raid1: 2,
  raid10: 2,
  raid1c3: 3,
  raid1c4: 4,
}

/**
 * Usable bytes of a filesystem on devices of these sizes. Nothing is taken off for metadata.
 * @param sizes of the members, in bytes
 */
export const usableBytes = (redundancy: Redundancy, sizes: readonly number[]): number => {
  if (redundancy === 'raid10') return striped([...sizes])
  const wanted = copies[redundancy]
  if (sizes.length < wanted) return 0
  // One copy of a block per member: of a member that is larger than all that is stored, the rest is of no use.
  const sorted = [...sizes].sort((a, b) => b - a)
  for (let larger = 0; larger < wanted; larger++) {
    const rest = sorted.slice(larger).reduce((sum, size) => sum + size, 0)
    const usable = Math.floor(rest / (wanted - larger))
    if ((sorted[larger] ?? 0) <= usable) return usable
  }
  return sorted[wanted - 1] ?? 0
}

/** Each chunk takes the same from every member with room left, an even number of them. */
const striped = (room: number[]): number => {
  let usable = 0
  for (let round = 0; round < room.length; round++) {
    const left = room.filter((bytes) => bytes > 0).sort((a, b) => b - a)
    const wide = left.length - (left.length % 2)
    if (wide < 2) break
    const each = left[wide - 1] ?? 0
    usable += Math.floor((each * wide) / 2)
    room = left.map((bytes, index) => (index < wide ? bytes - each : bytes))
  }
  return usable
}
