import { rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { Exit, Fault } from '../fault.ts'
import type { LocalMachine } from '../host/host.ts'
import { Secret } from '../host/secret.ts'
import type { Kdf } from '../profile/profile.ts'
import { cipher, keyringDiffers, luksMetadata } from './guard.ts'

/**
 * The keyring: one LUKS2 container without data whose volume key is the vault key. Passphrases are slots of this one
 * file, so changing one touches no member, and `up` pays for one key derivation however many members there are.
 */

/** Room for the metadata and 15 key slots of 512 bits; the container holds no data. */
const keyringBytes = 4 * 1024 * 1024
const metadataBytes = 16 * 1024
/** argon2id at full cost takes 10 s on a slow single board; a person waits for it once. */
export const kdfDeadline = 180_000

/** The command that makes the container at a path; the passphrase goes to its stdin. */
export const keyringArgv = (path: string, kdf: Kdf | undefined): string[] => [
  ...['cryptsetup', 'luksFormat', '--batch-mode', '--type', 'luks2', '--cipher', cipher, '--key-size', '512'],
  ...[
    '--luks2-metadata-size',
    `${metadataBytes}`,
    '--luks2-keyslots-size',
    `${keyringBytes - 2 * metadataBytes}`,
  ],
  ...kdfOptions(kdf),
  ...['--key-file=-', path],
]

/**
 * Makes the container with a new random 512-bit volume key and one passphrase slot.
 * Written beside and renamed: a crash leaves no half keyring under the real name.
 */
export const createKeyring = async (
  local: LocalMachine,
  path: string,
  passphrase: Secret,
  kdf: Kdf | undefined,
): Promise<void> => {
  const beside = `${path}.new`
  await rm(beside, { force: true })
  await writeFile(beside, '', { mode: 0o600, flag: 'wx' })
  await truncate(beside, keyringBytes)
  const output = await local.run({
    argv: keyringArgv(beside, kdf),
    input: passphrase,
    deadline: kdfDeadline,
  })
  if (output.code !== 0) throw keyringFault('the keyring could not be made', output.stderr)
  await rename(beside, path)
}

/** A keyring as the profile and the record know it. */
export interface Keyring {
  readonly path: string
  readonly kdf: Kdf | undefined
  /** The command that brings it back from the recovery kit. */
  readonly restore: string
}

/**
 * Looks at the keyring before anything is derived from a passphrase.
 * @throws Fault 3 when it is not there, 5 when it is not readable or asks for what cloudvault never makes
 */
export const checkKeyring = async (local: LocalMachine, keyring: Keyring): Promise<void> => {
  const { path, kdf, restore } = keyring
  if (!(await stat(path).catch(() => null)))
    throw new Fault(Exit.missing, `the keyring ${path} is not on this machine`, { next: restore })
  const found = await luksMetadata(local, path)
  const why = 'why' in found ? found.why : keyringDiffers(found.metadata, kdf)
  if (why === null) return
  throw new Fault(Exit.trust, `the keyring ${path} was refused: ${why}`, {
    next: restore,
    ...('why' in found ? { detail: found.detail } : {}),
  })
}

/**
 * The vault key, 64 bytes.
 * @throws Fault 9 when no slot opens with the passphrase; see also `checkKeyring`
 */
export const unlockKeyring = async (
  local: LocalMachine,
  keyring: Keyring,
  passphrase: Secret,
): Promise<Secret> => {
  const { path, restore } = keyring
  await checkKeyring(local, keyring)
  const dump = await local.runForSecret({
    argv: ['cryptsetup', 'luksDump', '--batch-mode', '--dump-volume-key', '--key-file=-', path],
    input: passphrase,
    deadline: kdfDeadline,
  })
  if (dump.code === 2) {
    throw new Fault(Exit.secret, 'the passphrase does not open the keyring', {
      // A damaged slot looks the same.
      next: `try again, there is no lock-out; if it is certainly the right one: ${restore}`,
    })
  }
  if (dump.code !== 0) {
    throw keyringFault(`the keyring ${path} could not be read`, dump.stderr).with({
      next: restore,
    })
  }
  try {
    return volumeKeyOf(dump.secret.reveal())
  } finally {
    dump.secret.wipe()
  }
}

export const kdfOptions = (kdf: Kdf | undefined): string[] => {
  if (!kdf) return ['--pbkdf', 'argon2id']
  if (kdf.algorithm === 'pbkdf2')
    return ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', `${kdf.iterations}`]
  return [
    '--pbkdf',
    'argon2id',
    ...(kdf.memoryBytes ? ['--pbkdf-memory', `${Math.ceil(kdf.memoryBytes / 1024)}`] : []),
    ...(kdf.threads ? ['--pbkdf-parallel', `${kdf.threads}`] : []),
    ...(kdf.iterations ? ['--pbkdf-force-iterations', `${kdf.iterations}`] : []),
  ]
}

const keyringFault = (what: string, stderr: string): Fault =>
  new Fault(Exit.missing, what, { detail: stderr })

/**
 * Reads the hex after "MK dump:" without ever making a string of it (strings cannot be wiped).
 * cryptsetup 2.6 writes no volume key to a pipe in binary, hence the dump.
 */
export const volumeKeyOf = (dump: Uint8Array): Secret => {
  const marker = Buffer.from('dump:')
  const start = Buffer.from(dump.buffer, dump.byteOffset, dump.byteLength).indexOf(marker)
  const key = new Uint8Array(64)
  let nibbles = 0
  for (let at = start + marker.length; start >= 0 && at < dump.length && nibbles < 128; at++) {
    const value = hexValue(dump[at] ?? 0)
    if (value === null) continue
    const index = nibbles >> 1
    key[index] = ((key[index] ?? 0) << 4) | value
    nibbles++
  }
  if (nibbles !== 128) {
    key.fill(0)
    throw new Fault(Exit.missing, 'cryptsetup did not print a volume key of 512 bits')
  }
  return new Secret(key)
}

const hexValue = (byte: number): number | null => {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  if (byte >= 0x61 && byte <= 0x66) return byte - 0x57
  return null
}
