import { copyFile, rm } from 'node:fs/promises'
import { Exit, Fault } from '../fault.ts'
import { exchangeFile } from '../host/files.ts'
import type { LocalMachine, Output } from '../host/host.ts'
import { Secret } from '../host/secret.ts'
import { object } from '../record/validate.ts'
import { luksMetadata } from './guard.ts'
import { checkKeyring, type Keyring, kdfDeadline, kdfOptions, unlockKeyring } from './keyring.ts'

/**
 * The slots of the keyring: each is a passphrase (or a recovery key, a token) that opens the same vault key. Changes
 * are made on a copy, proved there, and put in place by one rename: killed at any moment, the old keyring or the new
 * one is there, whole.
 */

export interface Slot {
  readonly number: number
  /** What opens it, as the token that names the slot says; without a token it is a passphrase. */
  readonly kind: 'passphrase' | 'recovery' | 'fido2' | 'tpm2'
  /** Cost of one guess, in words: "argon2id, 1 GiB, 4 threads, 9 rounds". */
  readonly kdf: string
}

const tokenKinds: Readonly<Record<string, Slot['kind']>> = {
  'systemd-recovery': 'recovery',
  'systemd-fido2': 'fido2',
  'systemd-tpm2': 'tpm2',
}

/** @throws Fault 3 when the keyring cannot be read, 5 when it asks for what cloudvault never makes */
export const listSlots = async (local: LocalMachine, keyring: Keyring): Promise<Slot[]> => {
  await checkKeyring(local, keyring)
  const found = await luksMetadata(local, keyring.path)
  return parseSlots('metadata' in found ? found.metadata : null)
}

/** @param metadata the JSON of a LUKS2 header */
export const parseSlots = (metadata: unknown): Slot[] => {
  const { keyslots, tokens } = object(metadata) ? metadata : {}
  const kinds = new Map<string, Slot['kind']>()
  for (const token of Object.values(object(tokens) ? tokens : {})) {
    const kind = object(token) ? tokenKinds[String(token.type)] : undefined
    if (!object(token) || !kind || !Array.isArray(token.keyslots)) continue
    for (const slot of token.keyslots) kinds.set(String(slot), kind)
  }
  return Object.entries(object(keyslots) ? keyslots : {})
    .map(([number, slot]) => ({
      number: Number(number),
      kind: kinds.get(number) ?? ('passphrase' as const),
      kdf: kdfText(object(slot) ? slot.kdf : undefined),
    }))
    .sort((one, two) => one.number - two.number)
}

const kdfText = (kdf: unknown): string => {
  if (!object(kdf)) return 'unknown'
  if (kdf.type === 'pbkdf2') return `pbkdf2, ${Number(kdf.iterations)} iterations`
  if (kdf.type !== 'argon2id' && kdf.type !== 'argon2i') return 'unknown'
  const mebibytes = Math.round(Number(kdf.memory) / 1024)
  return `${kdf.type}, ${mebibytes} MiB, ${Number(kdf.cpus)} threads, ${Number(kdf.time)} rounds`
}

/** The slot that this passphrase opens. @throws Fault 9 when there is none */
export const slotOf = async (local: LocalMachine, keyring: Keyring, passphrase: Secret): Promise<number> => {
  const argv = ['cryptsetup', 'open', '--test-passphrase', '--verbose', '--key-file=-', keyring.path]
  const output = await local.run({ argv, input: passphrase, deadline: kdfDeadline })
  const number = /Key slot (\d+) unlocked/.exec(output.stdout + output.stderr)?.[1]
  if (output.code === 0 && number) return Number(number)
  if (output.code !== 2) throw unreadable(keyring, output)
  throw new Fault(Exit.secret, 'the passphrase does not open the keyring', {
    stands: 'nothing was changed',
    next: 'try again; there is no lock-out',
  })
}

/**
 * Adds a slot. Both secrets go to one stdin, the existing one first: its length tells cryptsetup where it ends.
 * @returns the new slot's number
 */
export const addSlot = async (
  local: LocalMachine,
  keyring: Keyring,
  existing: Secret,
  added: Secret,
): Promise<number> => {
  const both = new Secret(Buffer.concat([existing.reveal(), added.reveal()]))
  const size = existing.reveal().length
  const known = new Set((await listSlots(local, keyring)).map((slot) => slot.number))
  try {
    const argv = [
      ...['cryptsetup', 'luksAddKey', '--batch-mode', '--key-file=-', `--keyfile-size=${size}`],
      ...[...kdfOptions(keyring.kdf), keyring.path, '-'],
    ]
    const output = await local.run({ argv, input: both, deadline: kdfDeadline })
    if (output.code !== 0) throw changeFailed('the new passphrase could not be added', output)
  } finally {
    both.wipe()
  }
  const made = (await listSlots(local, keyring)).find((slot) => !known.has(slot.number))
  if (made) return made.number
  throw new Fault(Exit.missing, 'cryptsetup added no slot', { stands: 'the keyring is as it was' })
}

/** Destroys a slot: its key material is overwritten in this file. Older copies of the file keep it. */
export const killSlot = async (local: LocalMachine, keyring: Keyring, slot: number): Promise<void> => {
  const output = await local.run({
    argv: ['cryptsetup', 'luksKillSlot', '--batch-mode', keyring.path, `${slot}`],
  })
  if (output.code !== 0) throw changeFailed(`slot ${slot} could not be destroyed`, output)
}

/** Marks a slot as a recovery key, in the word that systemd's own tools use for one. */
export const markRecovery = async (local: LocalMachine, keyring: Keyring, slot: number): Promise<void> => {
  const token = JSON.stringify({ type: 'systemd-recovery', keyslots: [`${slot}`] })
  const argv = ['cryptsetup', 'token', 'import', '--json-file=-', keyring.path]
  const output = await local.run({ argv, input: token })
  if (output.code !== 0) throw changeFailed('the recovery key could not be marked as one', output)
}

/**
 * Changes a copy of the keyring and puts it in place once `witness` opens it to the very same vault key.
 * @param witness a passphrase that opens the keyring before and one that must open it after
 */
export const changeKeyring = async <T>(
  local: LocalMachine,
  keyring: Keyring,
  witness: { readonly before: Secret; readonly after: Secret },
  work: (copy: Keyring) => Promise<T>,
): Promise<T> => {
  const copy = { ...keyring, path: `${keyring.path}.new` }
  await rm(copy.path, { force: true })
  await copyFile(keyring.path, copy.path)
  try {
    const done = await work(copy)
    await sameKey(local, [keyring, witness.before], [copy, witness.after])
    await exchangeFile(copy.path, keyring.path)
    return done
  } catch (error) {
    await rm(copy.path, { force: true })
    throw error
  }
}

type Opener = readonly [keyring: Keyring, passphrase: Secret]

const sameKey = async (local: LocalMachine, before: Opener, after: Opener): Promise<void> => {
  const [old, now] = [await unlockKeyring(local, ...before), await unlockKeyring(local, ...after)]
  const same = Buffer.compare(old.reveal(), now.reveal()) === 0
  old.wipe()
  now.wipe()
  if (same) return
  throw new Fault(Exit.bug, 'the changed keyring opens to another key', {
    stands: 'the keyring is as it was',
  })
}

const unreadable = ({ path, restore }: Keyring, output: Output): Fault =>
  new Fault(Exit.missing, `the keyring ${path} could not be read`, {
    stands: 'nothing was changed',
    next: restore,
    detail: output.stderr,
  })

const changeFailed = (what: string, output: Output): Fault =>
  new Fault(Exit.missing, what, { stands: 'the keyring is as it was', detail: output.stderr })
