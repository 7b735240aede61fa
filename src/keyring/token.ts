import { randomBytes } from 'node:crypto'
import { copyFile, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Exit, Fault } from '../fault.ts'
import type { Command, LocalMachine } from '../host/host.ts'
import { Secret } from '../host/secret.ts'
import { object } from '../record/validate.ts'
import { luksMetadata } from './guard.ts'
import { checkKeyring, type Keyring, kdfOptions, unlockKeyring } from './keyring.ts'
import { addSlot, killSlot } from './slots.ts'

/**
 * Slots that a device opens: the TPM2 of this machine, or a FIDO2 security key. systemd-cryptenroll makes them and
 * cryptsetup's token plugins open them. Neither gives out or takes a key on stdin, so a throwaway passphrase stands in
 * between: a slot of a copy, random, gone with the copy. The person's own never lies in a file.
 */

export type TokenKind = 'tpm2' | 'fido2'

export interface Token {
  readonly kind: TokenKind
  /** It asks for a PIN besides the device. */
  readonly pin: boolean
}

/** What a person calls the device. */
export const deviceWord: Readonly<Record<TokenKind, string>> = { tpm2: 'the TPM2', fido2: 'the security key' }

/** Finding the device, unsealing, and somebody's finger on a security key. */
const deadline = 120_000
const types: Readonly<Record<string, TokenKind>> = { 'systemd-tpm2': 'tpm2', 'systemd-fido2': 'fido2' }
/** For 256 random bits no derivation need be dear. */
const cheap = { algorithm: 'pbkdf2', iterations: 1000 } as const

/** Devices that open a slot of this keyring; those that ask for nothing first. */
export const listTokens = async (local: LocalMachine, keyring: Keyring): Promise<Token[]> => {
  await checkKeyring(local, keyring)
  const found = await luksMetadata(local, keyring.path)
  return parseTokens('metadata' in found ? found.metadata : null)
}

/** @param metadata the JSON of a LUKS2 header */
export const parseTokens = (metadata: unknown): Token[] => {
  const tokens = object(metadata) && object(metadata.tokens) ? Object.values(metadata.tokens) : []
  return tokens
    .flatMap((token): Token[] => {
      const kind = object(token) ? types[String(token.type)] : undefined
      if (!object(token) || !kind || !Array.isArray(token.keyslots) || token.keyslots.length === 0) return []
      return [{ kind, pin: token['tpm2-pin'] === true || token['fido2-clientPin-required'] === true }]
    })
    .sort((one, two) => rank(one) - rank(two))
}

const rank = ({ kind, pin }: Token): number => (kind === 'tpm2' && !pin ? 0 : kind === 'fido2' ? 1 : 2)

/**
 * The vault key, by a device.
 * @param pin where the token asks for one; the caller wipes it
 * @throws Fault 9 when the device is not there, is another one, or refuses
 */
export const unlockWithToken = (
  local: LocalMachine,
  keyring: Keyring,
  { kind }: Token,
  pin: Secret | null,
): Promise<Secret> =>
  withThrowaway(async (folder, throwaway, file) => {
    const copy = { ...keyring, path: join(folder, 'keys.luks'), kdf: cheap }
    await copyFile(keyring.path, copy.path)
    const argv = [
      ...['cryptsetup', 'luksAddKey', '--batch-mode', '--token-only', `--token-type=systemd-${kind}`],
      ...[...kdfOptions(cheap), copy.path, file],
    ]
    const line = new Secret(Buffer.concat([pin?.reveal() ?? Buffer.alloc(0), Buffer.from('\n')]))
    const output = await local.run({ argv, input: line, deadline }).finally(() => line.wipe())
    if (output.code !== 0) throw refused(kind, output.stderr)
    return unlockKeyring(local, copy, throwaway)
  })

const refused = (kind: TokenKind, detail: string): Fault =>
  new Fault(Exit.secret, `${deviceWord[kind]} does not open the keyring`, {
    stands: 'nothing was changed',
    detail,
  })

/** Runs a program that asks at the terminal; gives its exit code. */
export type OnTerminal = (command: Command) => Promise<number | null>

/**
 * Adds a slot that a device opens to a working copy of the keyring.
 * @param existing a passphrase that opens it
 * @param onTerminal for a PIN and a touch; null: nobody has to be asked
 * @throws Fault 3 when systemd-cryptenroll or the device is not there
 */
export const enrollToken = async (
  local: LocalMachine,
  copy: Keyring,
  existing: Secret,
  { kind, pin }: Token,
  onTerminal: OnTerminal | null,
): Promise<void> => {
  await withThrowaway(async (_, throwaway, file) => {
    const slot = await addSlot(local, { ...copy, kdf: cheap }, existing, throwaway)
    const argv = [
      ...['systemd-cryptenroll', `--${kind}-device=auto`, `--unlock-key-file=${file}`],
      ...[...(kind === 'tpm2' && pin ? ['--tpm2-with-pin=yes'] : []), copy.path],
    ]
    const command = { argv, deadline: 2 * deadline }
    const { code, stderr } = onTerminal
      ? { code: await onTerminal(command), stderr: '' }
      : await local.run(command)
    if (code !== 0)
      throw new Fault(Exit.missing, `${deviceWord[kind]} could not be enrolled`, {
        stands: 'the keyring is as it was',
        next: `systemd-cryptenroll --${kind}-device=list`,
        detail: stderr,
      })
    await killSlot(local, copy, slot)
  })
}

/** Takes away tokens whose slot is gone. */
export const dropOrphans = async (local: LocalMachine, copy: Keyring): Promise<void> => {
  const found = await luksMetadata(local, copy.path)
  const metadata = 'metadata' in found ? found.metadata : null
  const tokens = object(metadata) && object(metadata.tokens) ? Object.entries(metadata.tokens) : []
  for (const [id, token] of tokens) {
    if (!object(token) || !types[String(token.type)]) continue
    if (!Array.isArray(token.keyslots) || token.keyslots.length > 0) continue
    await local.run({ argv: ['cryptsetup', 'token', 'remove', `--token-id=${id}`, copy.path] })
  }
}

const [memory, prefix] = ['/run', 'cloudvault-key-']

/** Folders of runs that were killed: nothing takes longer than the longest deadline. */
const sweep = async (): Promise<void> => {
  for (const name of (await readdir(memory)).filter((entry) => entry.startsWith(prefix))) {
    const path = join(memory, name)
    const facts = await stat(path).catch(() => null)
    if (facts && Date.now() - facts.mtimeMs > 4 * deadline) await rm(path, { recursive: true, force: true })
  }
}

/** A random passphrase, in memory and as a file of a private folder in /run, which no disk holds. */
const withThrowaway = async <T>(
  work: (folder: string, throwaway: Secret, file: string) => Promise<T>,
): Promise<T> => {
  await sweep()
  const folder = await mkdtemp(`${memory}/${prefix}`)
  const throwaway = new Secret(Buffer.from(randomBytes(32).toString('hex')))
  try {
    const file = join(folder, 'throwaway')
    await writeFile(file, throwaway.reveal(), { mode: 0o600, flag: 'wx' })
    return await work(folder, throwaway, file)
  } finally {
    throwaway.wipe()
    await rm(folder, { recursive: true, force: true })
  }
}
