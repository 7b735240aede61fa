import { Exit, Fault } from '../fault.ts'
import type { Secret } from '../host/secret.ts'
import { type Keyring, unlockKeyring } from '../keyring/keyring.ts'
import { passphraseFrom } from '../keyring/passphrase.ts'
import { deviceWord, listTokens, type Token, unlockWithToken } from '../keyring/token.ts'
import { bootCredential } from '../names.ts'
import type { Profile } from '../profile/profile.ts'
import { canAsk, password } from '../ui/ask.ts'
import { escapeLine } from '../ui/style.ts'
import type { World } from './world.ts'

/**
 * How a verb gets the vault key: where a person would be asked for the passphrase, a device that opens a slot goes
 * first (a TPM2, a security key); else, and when it refuses, the profile's source.
 */

/** @returns the vault key; the caller wipes it. @throws Fault 2 nobody to ask, 9 nothing opens the keyring */
export const unlockVault = async (
  world: World,
  { vault, unlock }: Profile,
  keyring: Keyring,
): Promise<Secret> => {
  const source = unlock.passphrase
  const opened = source.kind === 'prompt' ? await byToken(world, vault, keyring) : null
  if (opened && 'key' in opened) return opened.key
  const ask = (): Promise<Secret> => {
    // Nobody is there to be asked: the device's own refusal says more.
    if (opened && !canAsk(world)) throw opened.refusal
    return password(world, {
      message: `Passphrase of ${vault}:`,
      flag: 'another passphrase source in the profile (file, command or credential)',
    })
  }
  const passphrase = await passphraseFrom(source, world, ask, bootCredential(vault))
  try {
    return await unlockKeyring(world.local, keyring, passphrase)
  } finally {
    passphrase.wipe()
  }
}

/** What the devices say, one after the other; null when the keyring knows none that can be tried now. */
const byToken = async (
  world: World,
  vault: string,
  keyring: Keyring,
): Promise<{ readonly key: Secret } | { readonly refusal: Fault } | null> => {
  let refusal: Fault | null = null
  for (const token of await listTokens(world.local, keyring)) {
    if (!isAlone(token) && !canAsk(world)) continue
    try {
      return { key: await openWith(world, vault, keyring, token) }
    } catch (error) {
      if (!(error instanceof Fault) || error.exit === Exit.interrupted) throw error
      refusal = error.with({
        next: `cloudvault up ${vault}   (on a terminal: the passphrase opens it as well)`,
      })
      world.stderr.write(`${error.message}: ${escapeLine(error.said) || 'it gives no reason'}\n`)
    }
  }
  return refusal ? { refusal } : null
}

/** Needs no person: no PIN, no finger. */
export const isAlone = ({ kind, pin }: Token): boolean => kind === 'tpm2' && !pin

const openWith = async (world: World, vault: string, keyring: Keyring, token: Token): Promise<Secret> => {
  const word = deviceWord[token.kind]
  const question = { message: `PIN of ${word} for ${vault}:`, flag: 'a terminal' }
  const pin = token.pin ? await password(world, question) : null
  try {
    if (token.kind === 'fido2') world.stderr.write('touch the security key when it blinks\n')
    return await unlockWithToken(world.local, keyring, token, pin)
  } finally {
    pin?.wipe()
  }
}
