import { open } from 'node:fs/promises'
import { Exit, Fault } from '../fault.ts'
import type { VaultPaths } from '../record/paths.ts'
import { readRecord, updateRecord } from '../record/record.ts'
import type { Vault } from './vault.ts'

/**
 * An old keyring opens with the passphrases of its day: one that was changed or taken away since would open the vault
 * again. LUKS2 counts the changes of a file in its header, and the record knows how many there were.
 */

/** The binary header: "LUKS\xba\xbe", version, size, and the count as a big-endian number of eight bytes. */
const [countAt, countBytes] = [16, 8]

/** How often a LUKS2 file was changed. */
export const changesOf = async (path: string): Promise<number> => {
  const file = await open(path, 'r')
  try {
    const bytes = Buffer.alloc(countBytes)
    await file.read(bytes, 0, countBytes, countAt)
    return Number(bytes.readBigUInt64BE())
  } finally {
    await file.close()
  }
}

/** @throws Fault 5 when the keyring was changed less often than the record knows */
export const refuseOldKeyring = async ({ paths, restore }: Vault): Promise<void> => {
  // A damaged record is told of where it matters; `discover` makes it anew.
  const known = (await readRecord(paths.record).catch(() => null))?.keyring?.changes ?? 0
  const found = await changesOf(paths.keyring)
  if (found >= known) return
  throw new Fault(
    Exit.trust,
    `the keyring ${paths.keyring} is an old one: it was changed ${found} times, and this machine knows of ${known} changes`,
    { next: restore('keys.luks') },
  )
}

/** Notes the keyring that is here now as the one that counts. */
export const noteKeyring = async (paths: VaultPaths): Promise<void> => {
  const changes = await changesOf(paths.keyring)
  await updateRecord(paths.record, (record) => ({ ...record, keyring: { changes } }))
}
