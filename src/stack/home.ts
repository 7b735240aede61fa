import { Exit, Fault } from '../fault.ts'
import { checkKeyring, type Keyring } from '../keyring/keyring.ts'
import { refuseOldKeyring } from './keyring-age.ts'
import { checkHeader } from './luks.ts'
import type { Vault } from './vault.ts'

/** The files at home that a vault is opened with, looked at before anybody is contacted. */

export const keyringOf = (vault: Vault): Keyring => ({
  path: vault.paths.keyring,
  kdf: vault.profile.unlock.kdf,
  restore: vault.restore('keys.luks'),
})

/** @throws Fault 3 or 5: the keyring or a header is gone, damaged, or not one that cloudvault makes */
export const checkHome = async (vault: Vault): Promise<void> => {
  try {
    await checkKeyring(vault.local, keyringOf(vault))
    await refuseOldKeyring(vault)
    for (const { name } of vault.profile.members) await checkHeader(vault, name)
  } catch (error) {
    if (!(error instanceof Fault) || error.exit === Exit.unreachable) throw error
    throw error.with({ stands: 'nothing was contacted or changed' })
  }
}
