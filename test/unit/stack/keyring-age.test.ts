import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LocalHost } from '../../../src/host/local.ts'
import { Secret } from '../../../src/host/secret.ts'
import { createKeyring } from '../../../src/keyring/keyring.ts'
import { addSlot } from '../../../src/keyring/slots.ts'
import { vaultPaths } from '../../../src/record/paths.ts'
import { readRecord, writeRecord } from '../../../src/record/record.ts'
import { emptyRecord } from '../../../src/stack/format.ts'
import { changesOf, noteKeyring, refuseOldKeyring } from '../../../src/stack/keyring-age.ts'
import type { Vault } from '../../../src/stack/vault.ts'

/** Real cryptsetup: the count in a header grows with every change, and an older file is refused. */

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudvault-age-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('a keyring from before a change is refused, the newest and a newer one are not', async () => {
  const paths = vaultPaths('photos', { CLOUDVAULT_STATE: folder })
  const vault = { paths, restore: (file: string) => `restore ${file}` } as Vault
  await writeRecord(paths.record, emptyRecord('photos'))
  const local = new LocalHost(process.env)
  const kdf = { algorithm: 'pbkdf2', iterations: 1000 } as const
  const [old, fresh] = ['old-passphrase', 'new-passphrase'].map((text) => new Secret(Buffer.from(text)))
  if (!old || !fresh) throw new Error('two secrets')
  await createKeyring(local, paths.keyring, old, kdf)
  await refuseOldKeyring(vault) // the record of an older cloudvault knows no count
  await noteKeyring(paths)
  await copyFile(paths.keyring, join(folder, 'old'))
  const before = await changesOf(paths.keyring)

  await addSlot(local, { path: paths.keyring, kdf, restore: '' }, old, fresh)
  expect(await changesOf(paths.keyring)).toBeGreaterThan(before)
  await refuseOldKeyring(vault) // changed by hand: newer than noted
  await noteKeyring(paths)
  expect((await readRecord(paths.record))?.keyring?.changes).toBe(await changesOf(paths.keyring))

  await copyFile(join(folder, 'old'), paths.keyring)
  await expect(refuseOldKeyring(vault)).rejects.toMatchObject({
    exit: 5,
    details: { next: 'restore keys.luks' },
  })
})
