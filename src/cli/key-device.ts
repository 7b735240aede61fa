import { Exit, Fault } from '../fault.ts'
import type { Secret } from '../host/secret.ts'
import { changeKeyring } from '../keyring/slots.ts'
import { deviceWord, enrollToken, listTokens, type Token, unlockWithToken } from '../keyring/token.ts'
import { keyringOf } from '../stack/home.ts'
import { canAsk } from '../ui/ask.ts'
import type { Context } from './context.ts'
import type { Done, KeyOptions } from './key.ts'
import { isAlone } from './unlock.ts'
import type { World } from './world.ts'

/** `cloudvault key add --tpm2 | --fido2`: a device of this machine opens the vault, beside the passphrase. */

/** @throws Fault 2 for flags that do not go together */
export const chosenDevice = (options: KeyOptions): Token | null => {
  const { tpm2, fido2, pin, recovery, new: fresh } = options
  const chosen = [tpm2 && 'tpm2', fido2 && 'fido2', recovery && 'recovery', fresh && 'new'].filter(Boolean)
  if (chosen.length > 1) throw usage(`--${chosen.join(' and --')} do not go together: one slot at a time`)
  if (pin && !tpm2) throw usage('--pin goes with --tpm2; a security key has a PIN of its own')
  if (tpm2) return { kind: 'tpm2', pin: pin === true }
  return fido2 ? { kind: 'fido2', pin: true } : null
}

/** @param old a passphrase that opens the keyring; wiped */
export const addDevice = async (
  world: World,
  context: Context,
  device: Token,
  old: Secret,
): Promise<Done> => {
  const { local } = world
  const keyring = keyringOf(context.vault)
  const word = deviceWord[device.kind]
  try {
    if ((await listTokens(local, keyring)).some(({ kind }) => kind === device.kind))
      throw new Fault(Exit.decide, `${word} has a slot already`, {
        stands: 'nothing was changed',
        next: `cloudvault key list ${context.profile.vault}, then key remove of that slot`,
      })
    if (!isAlone(device) && !canAsk(world))
      throw usage(`there is no terminal on which ${word} could ask for its PIN`)
    const onTerminal = isAlone(device) ? null : local.runOnTerminal.bind(local)
    await changeKeyring(local, keyring, { before: old, after: old }, async (copy) => {
      await enrollToken(local, copy, old, device, onTerminal)
      if (isAlone(device)) (await unlockWithToken(local, copy, device, null)).wipe()
    })
    return { said: `${word} opens it from now on, where somebody would be asked for the passphrase` }
  } finally {
    old.wipe()
  }
}

const usage = (message: string): Fault =>
  new Fault(Exit.usage, message, {
    stands: 'nothing was changed',
    next: 'cloudvault key --help',
  })
