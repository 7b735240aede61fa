import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { chosenDevice } from '../../../src/cli/key-device.ts'
import { unlockVault } from '../../../src/cli/unlock.ts'
import { Exit } from '../../../src/fault.ts'
import type { Command, LocalMachine } from '../../../src/host/host.ts'
import { LocalHost } from '../../../src/host/local.ts'
import { Secret } from '../../../src/host/secret.ts'
import { createKeyring, type Keyring } from '../../../src/keyring/keyring.ts'
import { listSlots, markRecovery } from '../../../src/keyring/slots.ts'
import {
  dropOrphans,
  enrollToken,
  listTokens,
  parseTokens,
  unlockWithToken,
} from '../../../src/keyring/token.ts'
import type { Profile } from '../../../src/profile/profile.ts'
import { testWorld } from '../support/world.ts'

/**
 * Around the device: there is none here (test/lab/long/keys.test.ts has one). What a device would do is done by hand with
 * the real cryptsetup, on a real keyring.
 */
const real = new LocalHost(process.env)
const cheap = { algorithm: 'pbkdf2', iterations: 1000 } as const
const old = (): Secret => new Secret(Buffer.from('old'))
const tpm2 = { kind: 'tpm2', pin: false } as const

let folder: string
let keyring: Keyring
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cv-token-'))
  keyring = { path: join(folder, 'keys.luks'), kdf: cheap, restore: 'restore it' }
  await createKeyring(real, keyring.path, old(), cheap)
})
afterEach(() => rm(folder, { recursive: true }))

/** cryptsetup's plugin looks at what it is given. */
const sealed = { 'tpm2-blob': 'AAAA', 'tpm2-pcrs': [7], 'tpm2-pcr-bank': 'sha256', 'tpm2-policy-hash': '00' }

const token = async (own: object): Promise<void> => {
  const json = { type: 'systemd-tpm2', ...sealed, ...own }
  const argv = ['cryptsetup', 'token', 'import', '--json-file=-', keyring.path]
  expect((await real.run({ argv, input: JSON.stringify(json) })).code).toBe(0)
}

/** This machine, with some programs replaced. */
const where = (replaced: (command: Command) => Promise<Command | null>): LocalMachine => {
  const machine = Object.create(real) as LocalMachine
  machine.run = async (command) => {
    const other = await replaced(command)
    return other ? real.run(other) : { code: 1, stdout: '', stderr: 'refused by the device' }
  }
  machine.runForSecret = (command) => real.runForSecret(command)
  return machine
}

/** A device that opens: the passphrase stands in for what it would unseal. */
const opening = where(async (command) => {
  if (!command.argv.includes('--token-only')) return command
  const argv = command.argv.filter((word) => !word.startsWith('--token'))
  return { argv: [...argv, '--key-file=-'], input: old() }
})
const refusing = where(async (command) => (command.argv.includes('--token-only') ? null : command))

test('the devices of a keyring: what asks for nothing goes first, what has no slot is none', () => {
  const tokens = {
    0: { type: 'systemd-tpm2', keyslots: ['1'], 'tpm2-pin': true },
    1: { type: 'systemd-fido2', keyslots: ['2'], 'fido2-clientPin-required': true },
    2: { type: 'systemd-tpm2', keyslots: ['3'] },
    3: { type: 'systemd-tpm2', keyslots: [] },
    4: { type: 'systemd-recovery', keyslots: ['4'] },
  }
  expect(parseTokens({ tokens })).toEqual([tpm2, { kind: 'fido2', pin: true }, { kind: 'tpm2', pin: true }])
  for (const odd of [null, {}, { tokens: 3 }, { tokens: { 0: 3 } }, { tokens: { 0: { keyslots: 3 } } }])
    expect(parseTokens(odd)).toEqual([])
})

test('a device gives the same vault key; the keyring is not touched, nothing stays in /run', async () => {
  const before = await readFile(keyring.path)
  const key = await unlockWithToken(opening, keyring, tpm2, null)
  expect(key.reveal()).toHaveLength(64)
  const again = await unlockWithToken(opening, keyring, tpm2, null)
  expect(Buffer.compare(key.reveal(), again.reveal())).toBe(0)
  expect((await readFile(keyring.path)).equals(before)).toBe(true)
  expect((await readdir('/run')).filter((name) => name.startsWith('cloudvault-key-'))).toEqual([])
})

test('one that refuses: exit 9, in its words', async () => {
  await expect(unlockWithToken(refusing, keyring, tpm2, null)).rejects.toMatchObject({
    exit: Exit.secret,
    details: { detail: 'refused by the device' },
  })
})

test('enrolling hands a throwaway to the tool, never the passphrase, and takes its slot away', async () => {
  const seen: string[] = []
  const machine = where(async (command) => {
    if (command.argv[0] !== 'systemd-cryptenroll') return command
    const file = command.argv.find((word) => word.startsWith('--unlock-key-file='))?.slice(18) ?? ''
    seen.push(await readFile(file, 'utf8'))
    const opens = ['cryptsetup', 'open', '--test-passphrase', `--key-file=${file}`, keyring.path]
    expect((await real.run({ argv: opens })).code).toBe(0)
    return { argv: ['true'] }
  })
  await enrollToken(machine, keyring, old(), tpm2, null)
  expect(seen).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)])
  expect(await listSlots(real, keyring)).toHaveLength(1)
})

test('without the tool or the device: exit 3, and what to type', async () => {
  const machine = where(async (command) => (command.argv[0] === 'systemd-cryptenroll' ? null : command))
  await expect(enrollToken(machine, keyring, old(), tpm2, null)).rejects.toMatchObject({
    exit: Exit.missing,
    details: { next: 'systemd-cryptenroll --tpm2-device=list' },
  })
})

test('a token whose slot is gone goes too, and no other', async () => {
  await markRecovery(real, keyring, 0)
  await token({ keyslots: [] })
  await dropOrphans(real, keyring)
  const dump = ['cryptsetup', 'luksDump', '--dump-json-metadata', keyring.path]
  const { tokens } = JSON.parse((await real.run({ argv: dump })).stdout)
  expect(Object.values(tokens)).toMatchObject([{ type: 'systemd-recovery' }])
})

const open = (local: LocalMachine, source: Profile['unlock']['passphrase']) => {
  const world = { ...testWorld(), local }
  const profile = { vault: 'photos', unlock: { passphrase: source } } as unknown as Profile
  return { said: () => world.stderr.text, key: unlockVault(world, profile, keyring) }
}

test('a device stands in for a question, never for another source', async () => {
  await expect(open(opening, { kind: 'prompt' }).key).rejects.toMatchObject({ exit: Exit.usage })
  await token({ keyslots: ['0'] })
  expect(await listTokens(real, keyring)).toEqual([tpm2])
  expect((await open(opening, { kind: 'prompt' }).key).reveal()).toHaveLength(64)
  const { said, key } = open(refusing, { kind: 'prompt' })
  await expect(key).rejects.toMatchObject({
    exit: Exit.secret,
    message: 'the TPM2 does not open the keyring',
  })
  expect(said()).toContain('refused by the device')
  const other = open(refusing, { kind: 'command', argv: ['printf', 'old'] })
  expect((await other.key).reveal()).toHaveLength(64)
  expect(other.said()).toBe('')
})

test('nobody there: a device that wants a PIN or a finger is not even tried', async () => {
  await token({ keyslots: ['0'], 'tpm2-pin': true })
  const { said, key } = open(opening, { kind: 'prompt' })
  await expect(key).rejects.toMatchObject({ exit: Exit.usage })
  expect(said()).toBe('')
})

test('one new slot at a time', () => {
  expect(chosenDevice({})).toBeNull()
  expect(chosenDevice({ tpm2: true })).toEqual(tpm2)
  expect(chosenDevice({ tpm2: true, pin: true })).toEqual({ kind: 'tpm2', pin: true })
  expect(chosenDevice({ fido2: true })).toEqual({ kind: 'fido2', pin: true })
  for (const both of [
    { tpm2: true, fido2: true },
    { tpm2: true, recovery: true },
    { fido2: true, pin: true },
    { pin: true },
  ])
    expect(() => chosenDevice(both)).toThrowError(expect.objectContaining({ exit: Exit.usage }))
})
