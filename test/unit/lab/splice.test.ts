import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { blockBytes, crc32c, forge, spliced, units } from '../../attacks/splice.ts'

/** Why CRC32 is not good enough against a person: the evidence in small. In the lab, on real disks: attack 12. */

test('the sum is CRC-32C', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
})

test('nearly all of a block is rolled back under an unchanged CRC32C; blake2 notices every time', () => {
  for (let round = 0; round < 20; round++) {
    const [old, fresh] = [randomBytes(blockBytes), randomBytes(blockBytes)]
    const chosen = forge(old, fresh)
    const mixed = spliced(old, fresh, chosen)
    expect(chosen.filter(Boolean).length).toBeGreaterThanOrEqual(units - 32)
    expect(mixed.equals(fresh)).toBe(false)
    expect(crc32c(mixed)).toBe(crc32c(fresh))
    const sum = (bytes: Buffer) => createHash('blake2b512').update(bytes).digest('hex')
    expect(sum(mixed)).not.toBe(sum(fresh))
  }
})
