import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Exit } from '../../../src/fault.ts'
import { LocalHost } from '../../../src/host/local.ts'
import { Secret } from '../../../src/host/secret.ts'
import { createKeyring, type Keyring, unlockKeyring } from '../../../src/keyring/keyring.ts'
import { newRecoveryKey } from '../../../src/keyring/recovery.ts'
import {
  addSlot,
  changeKeyring,
  killSlot,
  listSlots,
  markRecovery,
  parseSlots,
  slotOf,
} from '../../../src/keyring/slots.ts'

/** With the real cryptsetup: a keyring is a file and needs no device-mapper. */
const local = new LocalHost(process.env)
const cheap = { algorithm: 'pbkdf2', iterations: 1000 } as const
const secret = (text: string): Secret => new Secret(Buffer.from(text))
const key = async (passphrase: string): Promise<Uint8Array> =>
  (await unlockKeyring(local, keyring, secret(passphrase))).reveal()

let folder: string
let keyring: Keyring
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cv-slots-'))
  keyring = { path: join(folder, 'keys.luks'), kdf: cheap, restore: 'restore it' }
  await createKeyring(local, keyring.path, secret('old one\nwith a newline'), cheap)
})
afterEach(() => rm(folder, { recursive: true }))

const change = (before: string, after: string): Promise<void> =>
  changeKeyring(local, keyring, { before: secret(before), after: secret(after) }, async (copy) => {
    const slot = await slotOf(local, copy, secret(before))
    await addSlot(local, copy, secret(before), secret(after))
    await killSlot(local, copy, slot)
  })

test('a changed passphrase opens the same vault key, the old one opens nothing', async () => {
  const before = await key('old one\nwith a newline')
  await change('old one\nwith a newline', 'new one')
  expect(await key('new one')).toEqual(before)
  await expect(key('old one\nwith a newline')).rejects.toMatchObject({ exit: Exit.secret })
  expect(await listSlots(local, keyring)).toHaveLength(1)
  expect((await stat(keyring.path)).mode & 0o777).toBe(0o600)
  expect(await readdir(folder)).toEqual(['keys.luks'])
})

test('a change that fails leaves the keyring as it was, and nothing beside it', async () => {
  const before = await key('old one\nwith a newline')
  const spoilt = changeKeyring(
    local,
    keyring,
    { before: secret('old one\nwith a newline'), after: secret('never added') },
    (copy) => killSlot(local, copy, 0),
  )
  await expect(spoilt).rejects.toMatchObject({ exit: Exit.trust }) // a keyring without a slot
  expect(await key('old one\nwith a newline')).toEqual(before)
  expect(await readdir(folder)).toEqual(['keys.luks'])
})

test('a recovery key opens it too and is listed as one', async () => {
  const recovery = newRecoveryKey()
  const typed = Buffer.from(recovery.reveal()).toString()
  expect(typed).toMatch(/^(\d{6}-){7}\d{6}$/)
  const old = secret('old one\nwith a newline')
  await changeKeyring(local, keyring, { before: old, after: recovery }, async (copy) =>
    markRecovery(local, copy, await addSlot(local, copy, old, recovery)),
  )
  expect(await key(typed)).toEqual(await key('old one\nwith a newline'))
  expect(await listSlots(local, keyring)).toMatchObject([
    { number: 0, kind: 'passphrase', kdf: 'pbkdf2, 1000 iterations' },
    { number: 1, kind: 'recovery' },
  ])
})

test('a wrong passphrase has no slot: exit 9', async () => {
  await expect(slotOf(local, keyring, secret('wrong'))).rejects.toMatchObject({ exit: Exit.secret })
})

test('no two recovery keys are the same', () => {
  const keys = Array.from({ length: 200 }, () => Buffer.from(newRecoveryKey().reveal()).toString())
  expect(new Set(keys).size).toBe(200)
})

test.each([
  [null],
  [{}],
  [{ keyslots: 3, tokens: [] }],
  [{ keyslots: {}, tokens: { 0: { keyslots: 'x' } } }],
])('metadata that is not what it should be has no slots: %j', (metadata) =>
  expect(parseSlots(metadata)).toEqual([]),
)
