import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Exit } from '../../../src/fault.ts'
import { LocalHost } from '../../../src/host/local.ts'
import { Secret } from '../../../src/host/secret.ts'
import { keyringDiffers } from '../../../src/keyring/guard.ts'
import { createKeyring, unlockKeyring, volumeKeyOf } from '../../../src/keyring/keyring.ts'

/** With the real cryptsetup: a keyring is a file and needs no device-mapper. */
const local = new LocalHost(process.env)
const cheap = { algorithm: 'pbkdf2', iterations: 1000 } as const
const ring = (path: string) => ({ path, kdf: cheap, restore: 'cloudvault restore-kit' })
const secret = (text: string): Secret => new Secret(Buffer.from(text))

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cv-keyring-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('the passphrase gives the same 64 bytes every time, two keyrings never the same', async () => {
  const [one, two] = [join(folder, 'one'), join(folder, 'two')]
  await createKeyring(local, one, secret('a b\nc'), cheap)
  await createKeyring(local, two, secret('a b\nc'), cheap)
  const first = (await unlockKeyring(local, ring(one), secret('a b\nc'))).reveal()
  expect(first).toHaveLength(64)
  expect((await unlockKeyring(local, ring(one), secret('a b\nc'))).reveal()).toEqual(first)
  expect((await unlockKeyring(local, ring(two), secret('a b\nc'))).reveal()).not.toEqual(first)
})

test('a wrong passphrase is exit 9, a newline counts', async () => {
  const path = join(folder, 'keys')
  await createKeyring(local, path, secret('right'), cheap)
  for (const wrong of ['wrong', 'right\n']) {
    await expect(unlockKeyring(local, ring(path), secret(wrong))).rejects.toMatchObject({ exit: Exit.secret })
  }
})

test('no keyring is exit 3 and points at the recovery kit', async () => {
  await expect(unlockKeyring(local, ring(join(folder, 'none')), secret('x'))).rejects.toMatchObject({
    exit: Exit.missing,
    details: { next: expect.stringContaining('restore-kit') },
  })
})

const made = {
  keyslots: {
    0: {
      type: 'luks2',
      area: { encryption: 'aes-xts-plain64' },
      kdf: { type: 'argon2id', time: 4, memory: 1024 * 1024, cpus: 4 },
    },
  },
  digests: { 0: { type: 'pbkdf2', iterations: 200_000 } },
  config: {},
}

test('the largest keyring that cryptsetup makes by itself is accepted, and what a profile asks for', () => {
  expect(keyringDiffers(made, undefined)).toBeNull()
  const large = structuredClone(made)
  large.keyslots[0].kdf.memory = 2 * 1024 * 1024
  expect(keyringDiffers(large, { algorithm: 'argon2id', memoryBytes: 2 ** 31 })).toBeNull()
})

test.each([
  ['4096 MiB of memory', (keyring: typeof made) => (keyring.keyslots[0].kdf.memory = 4 * 1024 * 1024)],
  ['4000000000 iterations', (keyring: typeof made) => (keyring.digests[0].iterations = 4e9)],
  ['not encrypted with', (keyring: typeof made) => (keyring.keyslots[0].area.encryption = 'cipher_null-ecb')],
  ['another key derivation', (keyring: typeof made) => (keyring.keyslots[0].kdf.type = 'scrypt')],
  ['re-encryption', (keyring: typeof made) => Object.assign(keyring.config, { requirements: {} })],
])('a keyring is refused before anything is derived: %s', (words, change) => {
  const keyring = structuredClone(made)
  change(keyring)
  expect(keyringDiffers(keyring, undefined)).toContain(words)
})

test('the file is private', async () => {
  const path = join(folder, 'keys')
  await createKeyring(local, path, secret('right'), cheap)
  expect((await stat(path)).mode & 0o777).toBe(0o600)
})

test('a dump without 512 bits of key is refused, not padded', () => {
  expect(() => volumeKeyOf(Buffer.from('MK dump:\t00 11 22'))).toThrow('512 bits')
  expect(() => volumeKeyOf(Buffer.from('nothing'))).toThrow('512 bits')
  const all = Array.from({ length: 64 }, (_, i) => i.toString(16).padStart(2, '0')).join(' ')
  expect([...volumeKeyOf(Buffer.from(`MK bits: 512\nMK dump:\t${all}\n`)).reveal()]).toEqual(
    Array.from({ length: 64 }, (_, i) => i),
  )
})
