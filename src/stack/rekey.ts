import { commandFailed } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import { exchangeFile } from '../host/files.ts'
import type { LocalMachine } from '../host/host.ts'
import type { Secret } from '../host/secret.ts'
import { createKeyring, type Keyring, unlockKeyring } from '../keyring/keyring.ts'
import { addSlot, changeKeyring, killSlot, listSlots, slotOf } from '../keyring/slots.ts'
import { keyringOf } from './home.ts'
import { changesOf } from './keyring-age.ts'
import { headerKdf } from './luks.ts'
import type { Vault } from './vault.ts'

/**
 * A new vault key, which is the volume key of a new keyring. The headers are opened by the old key and by the new one
 * before the keyring is exchanged, so that whichever keyring is there opens every header, wherever this is killed.
 */

/**
 * @param known how often the keyring had been changed at most: the new one counts on from there, or it would be taken
 * for an old one
 * @returns the new vault key; the caller wipes it
 */
export const exchangeKeyring = async (vault: Vault, passphrase: Secret, known: number): Promise<Secret> => {
  const { local, paths, profile } = vault
  const keyring = keyringOf(vault)
  const next: Keyring = { ...keyring, path: `${keyring.path}.next` }
  const old = await unlockKeyring(local, keyring, passphrase)
  try {
    await createKeyring(local, next.path, passphrase, profile.unlock.kdf)
    await countOn(local, next.path, Math.max(known, await changesOf(keyring.path)))
    const fresh = await unlockKeyring(local, next, passphrase)
    for (const { name } of profile.members) await admit(vault, name, old, fresh)
    await exchangeFile(next.path, paths.keyring)
    return fresh
  } finally {
    old.wipe()
  }
}

/** Changes that change nothing, until the file has had more than the one that it follows. */
const countOn = async (local: LocalMachine, path: string, known: number): Promise<void> => {
  for (let count = await changesOf(path); count <= known; ) {
    const argv = ['cryptsetup', 'config', '--label', 'cloudvault', path]
    const output = await local.run({ argv })
    if (output.code !== 0) throw commandFailed(local.name, argv, output)
    const now = await changesOf(path)
    if (now <= count) throw new Fault(Exit.bug, `${path} does not count its changes`)
    count = now
  }
}

/** Both keys open the member's header then, and nothing else does. */
const admit = async (vault: Vault, member: string, old: Secret, fresh: Secret): Promise<void> => {
  const { local, paths, restore } = vault
  const header: Keyring = {
    path: paths.header(member),
    kdf: headerKdf,
    restore: restore(`headers/${member}.luks`),
  }
  await changeKeyring(local, header, { before: old, after: fresh }, async (copy) => {
    const stays = await slotOf(local, copy, old)
    // Of an earlier attempt that was killed.
    for (const { number } of await listSlots(local, copy))
      if (number !== stays) await killSlot(local, copy, number)
    await addSlot(local, copy, old, fresh)
  })
}
