import { stat } from 'node:fs/promises'
import { commandFailed } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import { writeAtomic } from '../host/files.ts'
import type { LocalMachine } from '../host/host.ts'
import type { Secret } from '../host/secret.ts'

/**
 * systemd credentials: how a passphrase is there when nobody can be asked. Encrypted by systemd-creds with a key of
 * this machine (its TPM2 where it has one), so that a copy of the disk alone gives nothing away; bound to its name.
 */

/** Where systemd itself looks; the first two hold encrypted ones. */
const stores = [
  '/etc/credstore.encrypted',
  '/run/credstore.encrypted',
  '/etc/credstore',
  '/run/credstore',
] as const

export interface Stored {
  readonly path: string
  readonly encrypted: boolean
}

/** The file that `enable` writes. */
export const credentialPath = (name: string): string => `${stores[0]}/${name}`

/** Where a credential of that name is kept, or null. */
export const findCredential = async (name: string): Promise<Stored | null> => {
  for (const store of stores) {
    const path = `${store}/${name}`
    if (await stat(path).catch(() => null)) return { path, encrypted: store.endsWith('.encrypted') }
  }
  return null
}

/**
 * Encrypts for this machine and this name, and writes the file.
 * @throws Fault 3 without systemd-creds (systemd older than 250)
 */
export const storeCredential = async (local: LocalMachine, name: string, secret: Secret): Promise<void> => {
  const argv = encryptArgv(name)
  const output = await local.run({ argv, input: secret })
  if (output.code !== 0) throw commandFailed(local.name, argv, output)
  await writeAtomic(credentialPath(name), output.stdout)
}

/** The command that encrypts; the secret goes to its stdin. */
export const encryptArgv = (name: string): string[] => [
  'systemd-creds',
  'encrypt',
  `--name=${name}`,
  '-',
  '-',
]

/**
 * @throws Fault 3 without systemd-creds, 9 when it was encrypted elsewhere (another machine, another TPM state)
 */
export const readCredential = async (local: LocalMachine, name: string, path: string): Promise<Secret> => {
  const output = await local.runForSecret({ argv: ['systemd-creds', 'decrypt', `--name=${name}`, path, '-'] })
  if (output.code === 0) return output.secret
  output.secret.wipe()
  throw new Fault(Exit.secret, `the credential ${path} cannot be decrypted on this machine`, {
    detail: output.stderr,
  })
}

/** @throws Fault 3 when this machine's systemd cannot keep an encrypted credential */
export const requireSystemdCreds = async (local: LocalMachine): Promise<void> => {
  const has = await local.run({ argv: ['systemd-creds', '--version'] }).catch((error: unknown) => {
    if (error instanceof Fault && error.exit === Exit.missing) return null
    throw error
  })
  if (has?.code === 0) return
  throw new Fault(Exit.missing, 'systemd-creds is not on this machine (systemd 250 or newer has it)', {
    stands: 'nothing was changed; the passphrase was not asked for',
    next: 'another source in the profile: passphrase: { file: … } or { command: […] }',
  })
}

/** What became of a kept passphrase: there is none, it is the new one, or it was not the one that was changed. */
export type Kept = 'none' | 'renewed' | 'other'

/** Keeps the new passphrase where `enable` keeps the old one. Whatever cannot be done here, `enable` does or explains. */
export const renewCredential = async (
  local: LocalMachine,
  name: string,
  old: Secret,
  fresh: Secret,
): Promise<Kept> => {
  const found = await findCredential(name)
  if (found === null) return 'none'
  if (found.path !== credentialPath(name)) return 'other'
  try {
    const kept = await readCredential(local, name, found.path)
    const same = Buffer.compare(kept.reveal(), old.reveal()) === 0
    kept.wipe()
    if (!same) return 'other'
    await storeCredential(local, name, fresh)
    return 'renewed'
  } catch (error) {
    if (error instanceof Fault) return 'other'
    throw error
  }
}
