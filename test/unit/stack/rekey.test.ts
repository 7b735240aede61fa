import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Exit } from '../../../src/fault.ts'
import { LocalHost } from '../../../src/host/local.ts'
import { Secret } from '../../../src/host/secret.ts'
import { cipher } from '../../../src/keyring/guard.ts'
import { createKeyring, kdfOptions, unlockKeyring } from '../../../src/keyring/keyring.ts'
import { addSlot, listSlots, slotOf } from '../../../src/keyring/slots.ts'
import { changesOf } from '../../../src/stack/keyring-age.ts'
import { headerKdf } from '../../../src/stack/luks.ts'
import { exchangeKeyring } from '../../../src/stack/rekey.ts'
import type { Vault } from '../../../src/stack/vault.ts'

/** With the real cryptsetup: a new keyring, and headers that it opens. */
const local = new LocalHost(process.env)
const kdf = { algorithm: 'pbkdf2', iterations: 1000 } as const
const passphrase = () => new Secret(Buffer.from('as ever'))
const members = ['fsn', 'gra']

let folder: string
let vault: Vault
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cv-rekey-'))
  await mkdir(join(folder, 'headers'))
  const paths = {
    keyring: join(folder, 'keys.luks'),
    header: (name: string) => join(folder, 'headers', name),
  }
  const profile = { unlock: { kdf }, members: members.map((name) => ({ name })) }
  vault = { local, paths, profile, restore: () => 'restore it' } as unknown as Vault
  await createKeyring(local, paths.keyring, passphrase(), kdf)
  const key = await unlockKeyring(local, keyring(), passphrase())
  for (const name of members) {
    await writeFile(paths.header(name), '')
    await truncate(paths.header(name), 4 * 1024 * 1024)
    const argv = ['cryptsetup', 'luksFormat', '--batch-mode', '--type', 'luks2', '--cipher', cipher]
    const more = ['--key-size', '512', ...kdfOptions(headerKdf), '--key-file=-', paths.header(name)]
    expect((await local.run({ argv: [...argv, ...more], input: key })).code).toBe(0)
  }
})
afterEach(() => rm(folder, { recursive: true }))

const keyring = () => ({ path: vault.paths.keyring, kdf, restore: 'restore it' })
const header = (name: string) => ({ path: vault.paths.header(name), kdf: headerKdf, restore: 'restore it' })

test('another vault key, the same passphrase, and both keys open every header', async () => {
  const old = await unlockKeyring(local, keyring(), passphrase())
  await addSlot(local, keyring(), passphrase(), new Secret(Buffer.from('another')))
  const before = await changesOf(vault.paths.keyring)
  const fresh = await exchangeKeyring(vault, passphrase(), before + 3)
  expect(fresh.reveal()).not.toEqual(old.reveal())
  expect((await unlockKeyring(local, keyring(), passphrase())).reveal()).toEqual(fresh.reveal())
  // What opened it besides does not any more, and the new one is not taken for an old one.
  expect(await listSlots(local, keyring())).toHaveLength(1)
  expect(await changesOf(vault.paths.keyring)).toBeGreaterThan(before + 3)
  for (const name of members) {
    const keys = [
      await unlockKeyring(local, header(name), old),
      await unlockKeyring(local, header(name), fresh),
    ]
    expect(keys[0]?.reveal()).toEqual(keys[1]?.reveal())
  }
  expect((await readdir(folder)).sort()).toEqual(['headers', 'keys.luks'])
})

test('begun again after a kill between the headers and the keyring, it leaves no third slot', async () => {
  const before = await readFile(vault.paths.keyring)
  const lost = await exchangeKeyring(vault, passphrase(), 0)
  await writeFile(vault.paths.keyring, before)
  const fresh = await exchangeKeyring(vault, passphrase(), 0)
  for (const name of members) {
    expect(await listSlots(local, header(name))).toHaveLength(2)
    await slotOf(local, header(name), fresh)
    await expect(slotOf(local, header(name), lost)).rejects.toMatchObject({ exit: Exit.secret })
  }
})

test('a wrong passphrase changes nothing', async () => {
  const before = await readFile(vault.paths.keyring)
  await expect(exchangeKeyring(vault, new Secret(Buffer.from('wrong')), 0)).rejects.toMatchObject({
    exit: Exit.secret,
  })
  expect((await readFile(vault.paths.keyring)).equals(before)).toBe(true)
  expect(await listSlots(local, header('fsn'))).toHaveLength(1)
})
