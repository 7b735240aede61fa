import { expect, it } from 'vitest'
import type { Offer } from '../../../../src/stack/attach/handshake.ts'
import { checkOffer } from '../../../../src/stack/attach/offer.ts'

const good: Offer = {
  sizeBytes: 1n << 30n,
  flags: 45,
  readOnly: false,
  canFlush: true,
  canFua: true,
  canTrim: true,
  canMultiConn: false,
}

it('a writable disk of the right size with flush and FUA is what we expect', () => {
  expect(checkOffer(good, { sizes: [2 ** 30] })).toBeNull()
  expect(checkOffer(good)).toBeNull()
  expect(checkOffer({ ...good, minimumBlock: 4096, maximumBlock: 33554432 })).toBeNull()
})

it.each<[string, Partial<Offer>, RegExp]>([
  ['another size', { sizeBytes: 1n << 29n }, /size is 536870912 bytes instead of 1073741824/],
  ['read-only', { readOnly: true }, /read-only/],
  ['no flush', { canFlush: false }, /no flush/],
  ['no FUA', { canFua: false }, /no FUA/],
  ['coarse blocks', { minimumBlock: 65536 }, /smaller than 65536/],
  ['short requests', { maximumBlock: 65536 }, /larger than 65536/],
])('%s is said', (_, change, words) => {
  expect(checkOffer({ ...good, ...change }, { sizes: [2 ** 30] })).toMatch(words)
})

it('while a resize is under way either size will do, and no third', () => {
  expect(checkOffer(good, { sizes: [2 ** 29, 2 ** 30] })).toBeNull()
  expect(checkOffer({ ...good, sizeBytes: 4096n }, { sizes: [2 ** 29, 2 ** 30] })).toMatch(
    /size is 4096 bytes instead of 536870912 or 1073741824/,
  )
})

it('a size that is not whole blocks is said, and all differences at once', () => {
  expect(checkOffer({ ...good, sizeBytes: 4097n })).toMatch(/not a multiple of 4096/)
  expect(checkOffer({ ...good, readOnly: true, canFlush: false })?.split('; ')).toHaveLength(2)
})
