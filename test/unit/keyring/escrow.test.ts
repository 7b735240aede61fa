import { createCipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { Exit } from '../../../src/fault.ts'
import { Secret } from '../../../src/host/secret.ts'
import { escrowDigest, seal, unseal } from '../../../src/keyring/escrow.ts'

const kit = Buffer.concat([Buffer.from('vault: photos, root@192.0.2.7'), randomBytes(300_000)])
const secret = (text: string): Secret => new Secret(Buffer.from(text))
const typed = (key: Secret): string => Buffer.from(key.reveal()).toString()

test('comes back whole, however the digits are typed', () => {
  const { text, sha256, key } = seal(kit)
  expect(escrowDigest(text)).toBe(sha256)
  expect(unseal(text, key).equals(kit)).toBe(true)
  expect(unseal(text, secret(typed(key).replaceAll('-', ' '))).equals(kit)).toBe(true)
})

test('tells nothing: no plain text, one size for small kits, another text each time', () => {
  const [one, two, small] = [seal(kit), seal(kit), seal(Buffer.from('kit'))]
  const bytes = Buffer.from(one.text, 'base64')
  expect(bytes.includes('photos')).toBe(false)
  expect(bytes.length - 28).toBe(8 * 1024 * 1024)
  expect(small.text.length).toBe(one.text.length)
  expect(two.text.slice(0, 64)).not.toBe(one.text.slice(0, 64))
  expect(typed(two.key)).not.toBe(typed(one.key))
  expect(seal(randomBytes(9_000_000)).text.length).toBeGreaterThan(one.text.length)
  // Random to the eye: every byte value about as often as every other.
  const counts = new Array<number>(256).fill(0)
  for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1
  expect(Math.min(...counts)).toBeGreaterThan(31_600)
  expect(Math.max(...counts)).toBeLessThan(33_900)
})

test('is opened by what the module head says, without this module', () => {
  const key = '000001-000002-000003-000004-000005-000006-000007-000008'
  const [nonce, packed] = [randomBytes(12), gzipSync('the kit')]
  const derived = new Uint8Array(hkdfSync('sha256', key.replaceAll('-', ''), '', 'cloudvault.escrow/1', 32))
  const cipher = createCipheriv('aes-256-gcm', derived, nonce).setAAD(Buffer.from('cloudvault.escrow/1'))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(packed.length)
  const body = Buffer.concat([cipher.update(Buffer.concat([length, packed])), cipher.final()])
  const text = Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64')
  expect(unseal(text, secret(key)).toString()).toBe('the kit')
})

test('another key, a flipped bit, half of it: exit 9, never half a kit', () => {
  const { text, key } = seal(kit)
  const bytes = Buffer.from(text, 'base64')
  const flipped = (at: number): string => {
    const copy = Buffer.from(bytes)
    copy[at] = (copy[at] ?? 0) ^ 1
    return copy.toString('base64')
  }
  for (const bad of [
    flipped(0),
    flipped(20),
    flipped(900_000),
    flipped(bytes.length - 1),
    text.slice(0, 9),
    '',
  ])
    expect(() => unseal(bad, key)).toThrowError(expect.objectContaining({ exit: Exit.secret }))
  for (const wrong of ['', '12345', seal(kit).key])
    expect(() => unseal(text, typeof wrong === 'string' ? secret(wrong) : wrong)).toThrowError(
      expect.objectContaining({ exit: Exit.secret }),
    )
})
