import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'

/**
 * What a provider can do to a block whose content it knows twice: an old one and the present one, once stored at the
 * same address. XTS encrypts 16 bytes at a time, so it can put back any of the old 16-byte units; CRC32C is linear, so
 * it can solve for a choice of units that leaves the sum as it is.
 */

export const blockBytes = 4096
const unitBytes = 16
export const units = blockBytes / unitBytes

/** CRC-32C (Castagnoli), reflected, a byte at a time. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value >>> 0
})

const through = (state: number, bytes: Uint8Array): number => {
  let value = state
  for (const byte of bytes) value = (value >>> 8) ^ (table[(value ^ byte) & 0xff] ?? 0)
  return value >>> 0
}

export const crc32c = (bytes: Uint8Array): number => ~through(0xffffffff, bytes) >>> 0

/** By how much the sum of a block changes when each of its units is rolled back, all others as they are. */
const effects = (old: Uint8Array, fresh: Uint8Array): number[] =>
  Array.from({ length: units }, (_, unit) => {
    const difference = new Uint8Array(blockBytes - unit * unitBytes)
    for (let at = 0; at < unitBytes; at++)
      difference[at] = (old[unit * unitBytes + at] ?? 0) ^ (fresh[unit * unitBytes + at] ?? 0)
    return through(0, difference)
  })

/**
 * Which units of a block to roll back so that its CRC32C stays right: all but the few (at most 32) that are needed to
 * cancel the change of the rest.
 */
export const forge = (old: Uint8Array, fresh: Uint8Array): boolean[] => {
  const changes = effects(old, fresh)
  const basis: { readonly vector: number; readonly of: Set<number> }[] = []
  const reduce = (vector: number, of: Set<number>): number => {
    let left = vector
    for (const entry of basis) {
      if ((left ^ entry.vector) >>> 0 >= left) continue
      left = (left ^ entry.vector) >>> 0
      for (const unit of entry.of) if (!of.delete(unit)) of.add(unit)
    }
    return left
  }
  changes.forEach((change, unit) => {
    const of = new Set([unit])
    const vector = reduce(change, of)
    if (vector === 0) return
    basis.push({ vector, of })
    basis.sort((one, two) => two.vector - one.vector)
  })
  const kept = new Set<number>()
  reduce(
    changes.reduce((sum, change) => (sum ^ change) >>> 0, 0),
    kept,
  )
  return changes.map((_, unit) => !kept.has(unit))
}

/** A block with the chosen units of another one. */
export const spliced = (old: Uint8Array, fresh: Uint8Array, chosen: readonly boolean[]): Buffer => {
  const mixed = Buffer.from(fresh)
  chosen.forEach((roll, unit) => {
    const at = unit * unitBytes
    if (roll) mixed.set(old.subarray(at, at + unitBytes), at)
  })
  return mixed
}

const nameOf = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('base64')

/** The blocks of a file of known content. */
export const blocksOf = (file: string): Set<string> => {
  const names = new Set<string>()
  eachBlock([file], (_, [block]) => {
    if (block) names.add(nameOf(block))
  })
  return names
}

const eachBlock = (files: readonly string[], seen: (at: number, blocks: readonly Buffer[]) => void): void => {
  const open = files.map((file) => openSync(file, 'r'))
  const size = Math.min(...open.map((file) => fstatSync(file).size))
  const buffers = open.map(() => Buffer.alloc(blockBytes))
  for (let at = 0; at + blockBytes <= size; at += blockBytes) {
    for (const [index, buffer] of buffers.entries()) readSync(open[index] ?? 0, buffer, 0, blockBytes, at)
    seen(at, buffers)
  }
  for (const file of open) closeSync(file)
}

/** What the provider has: two pictures of the ciphertext, and what it knows of the plain text at these addresses. */
export interface Known {
  readonly oldCipher: string
  readonly oldPlain: string
  readonly freshPlain: string
  /** Contents that were public anyway, an older and a newer one. */
  readonly oldFile: string
  readonly freshFile: string
}

/**
 * Splices every block of the disk where both contents once stood.
 * @param most how many blocks at most
 * @returns blocks changed, and 16-byte units rolled back in them
 */
export const spliceDisk = (
  disk: string,
  known: Known,
  most: number,
): { blocks: number; rolledBack: number } => {
  const [before, now] = [blocksOf(known.oldFile), blocksOf(known.freshFile)]
  const target = openSync(disk, 'r+')
  const cipher = Buffer.alloc(blockBytes)
  const done = { blocks: 0, rolledBack: 0 }
  eachBlock([known.oldPlain, known.freshPlain, known.oldCipher], (at, [old, fresh, oldCipher]) => {
    if (!old || !fresh || !oldCipher || done.blocks >= most) return
    if (!before.has(nameOf(old)) || !now.has(nameOf(fresh))) return
    const chosen = forge(old, fresh)
    readSync(target, cipher, 0, blockBytes, at)
    writeSync(target, spliced(oldCipher, cipher, chosen), 0, blockBytes, at)
    done.blocks++
    done.rolledBack += chosen.filter(Boolean).length
  })
  closeSync(target)
  return done
}
