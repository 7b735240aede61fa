import { readdir, readlink } from 'node:fs/promises'
import { basename } from 'node:path'
import { commandFailed } from '../engine/action.ts'
import type { Action, Finding, Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host, Output } from '../host/host.ts'
import { cipher, luksMetadata, slotsDiffer } from '../keyring/guard.ts'
import { kdfOptions } from '../keyring/keyring.ts'
import { mapperPath, memberId } from '../names.ts'
import { object } from '../record/validate.ts'
import type { Vault } from './vault.ts'

/**
 * LUKS2 with the header at home: the provider's disk carries no header, so there is none for it to tamper with
 * (null-cipher CVE-2025-59054 family, CVE-2021-4122). The header's fields are checked before every open all the
 * same, and the kernel's own table after it.
 */

/** 4096-byte sectors: 1.3 times the cipher speed of 512, and the smallest write Btrfs makes anyway. */
const sectorSize = 4096
/** One slot, and room for a second one and for the hot zone of a re-encryption. */
const keyslotsBytes = 2 * 1024 * 1024
const metadataBytes = 16 * 1024
/** More iterations add nothing to a key of 512 random bits (cryptsetup(8)). */
export const headerKdf = { algorithm: 'pbkdf2', iterations: 1000 } as const

/** Makes a member's header file: own random volume key, one slot opened by the vault key with a cheap KDF. */
export const formatHeader = (vault: Vault, member: string, header: string): Action => ({
  on: vault.local,
  command: {
    argv: [
      ...['cryptsetup', 'luksFormat', '--batch-mode', '--type', 'luks2', '--header', header],
      ...['--cipher', cipher, '--key-size', '512', '--sector-size', `${sectorSize}`],
      ...kdfOptions(headerKdf),
      ...['--luks2-metadata-size', `${metadataBytes}`, '--luks2-keyslots-size', `${keyslotsBytes}`],
      ...['--key-file=-', `/dev/nbd${vault.nbdIndex(member)}`],
    ],
  },
  feed: () => vault.vaultKey(),
})

/** UUID of a header file. */
export const headerUuid = async (local: Host, header: string): Promise<string> => {
  const output = await local.run({ argv: ['cryptsetup', 'luksUUID', header] })
  if (output.code !== 0) throw commandFailed(local.name, ['cryptsetup', 'luksUUID', header], output)
  return output.stdout.trim()
}

/**
 * The mapping /dev/mapper/cv-<vault>-<member> over the member's NBD device.
 * @param options readOnly: nothing can be written through it
 */
export const openLuks = (
  vault: Vault,
  member: string,
  needs: readonly string[],
  options: { readonly readOnly?: boolean } = {},
): Step => {
  const name = memberId(vault.profile.vault, member)
  const header = vault.paths.header(member)
  const device = `/dev/nbd${vault.nbdIndex(member)}`
  const table = check(vault, `dmsetup table ${name}: cipher and offset`, () =>
    checkTable(vault.local, member, name),
  )
  return {
    name: `open ${member}`,
    needs,
    probe: () => probeMapping(vault.profile.vault, member, basename(device)),
    up: [
      check(vault, `compare the header ${header} with what cloudvault makes`, () =>
        checkHeader(vault, member),
      ),
      {
        on: vault.local,
        command: {
          argv: [
            ...['cryptsetup', 'open', '--type', 'luks2', '--header', header],
            ...['--key-file=-', '--disable-external-tokens'],
            ...(options.readOnly ? ['--readonly', device, name] : [device, name]),
          ],
          deadline: 120_000,
        },
        feed: () => vault.vaultKey(),
        explain: (output) => openFailed(vault, member, output),
      },
      table,
    ],
    settle: [table],
    down: [
      forget(vault, name),
      { on: vault.local, command: { argv: ['cryptsetup', 'close', name], deadline: 120_000 } },
    ],
  }
}

/**
 * The kernel remembers a Btrfs device after the unmount, with its generation, and may refuse an older copy of it in the
 * same boot (EEXIST): a disk that its provider restored, which is for us to judge. 1: it remembers none.
 */
const forget = (vault: Vault, name: string): Action => ({
  on: vault.local,
  command: { argv: ['btrfs', 'device', 'scan', '--forget', `/dev/mapper/${name}`] },
  ok: [0, 1],
})

const check = (vault: Vault, text: string, call: () => Promise<void>): Action => ({
  on: vault.local,
  text,
  call,
})

/** Read from sysfs: `cryptsetup status` calls dead devices active, and may touch the device. */
const probeMapping = async (vault: string, member: string, nbd: string): Promise<Finding> => {
  const target = await readlink(mapperPath(vault, member)).catch((error: NodeJS.ErrnoException) =>
    error.code === 'ENOENT' ? null : Promise.reject(error),
  )
  if (target === null) return { is: 'absent' }
  const below = await readdir(`/sys/block/${basename(target)}/slaves`).catch(() => [])
  if (below.length === 1 && below[0] === nbd) return { is: 'present' }
  return {
    is: 'differs',
    found: `${mapperPath(vault, member)} lies on ${below.join(', ') || 'nothing'} instead of ${nbd}`,
    next: `cloudvault down ${vault}`,
  }
}

/** What cryptsetup's exit codes mean for `open` (cryptsetup(8), RETURN CODES). */
const openFailed = (vault: Vault, member: string, output: Output): Fault => {
  const why =
    output.code === 2
      ? new Fault(Exit.trust, `the vault key does not open the header of ${member}`, {
          next: vault.restore(`headers/${member}.luks`),
        })
      : new Fault(
          Exit.missing,
          `the encryption of ${member} could not be opened (cryptsetup exit ${output.code})`,
        )
  return why.with({ member, detail: output.stderr })
}

/** The fields that must be exactly what `formatHeader` made; everything else is refused unread. */
export const headerDiffers = (metadata: unknown): string | null => {
  if (!object(metadata)) return 'its metadata is not readable'
  const { segments } = metadata
  if (!object(segments) || Object.keys(segments).length !== 1)
    return 'it does not describe exactly one segment'
  const segment = segments['0']
  if (!object(segment) || segment.type !== 'crypt') return 'its segment is not of type crypt'
  if (segment.encryption !== cipher) return `its cipher is ${String(segment.encryption)}, not ${cipher}`
  if (segment.sector_size !== sectorSize) return `its sector size is ${String(segment.sector_size)}`
  if (segment.offset !== '0') return `its data offset is ${String(segment.offset)}, not 0`
  if (segment.flags !== undefined || segment.integrity !== undefined) return 'its segment carries flags'
  return slotsDiffer(metadata, slotCosts)
}

/** The vault key is as strong as the key it opens: more iterations would add nothing. */
const slotCosts = { iterations: 1_000_000, memoryKiB: 0 }

/** @throws Fault 5 when it is not a header that cloudvault makes; nothing is derived from it */
export const checkHeader = async (vault: Vault, member: string): Promise<void> => {
  const found = await luksMetadata(vault.local, vault.paths.header(member))
  const why = 'why' in found ? found.why : headerDiffers(found.metadata)
  if (why === null) return
  throw new Fault(Exit.trust, `the header of ${member} was refused: ${why}`, {
    member,
    next: vault.restore(`headers/${member}.luks`),
    ...('why' in found ? { detail: found.detail } : {}),
  })
}

/** "0 524288 crypt aes-xts-plain64 :64:logon:… 0 43:0 0 …": whatever the header said, this is what the kernel does. */
export const tableDiffers = (table: string): string | null => {
  const [start, , target, kernelCipher, , ivOffset, , offset] = table.trim().split(/\s+/)
  if (start !== '0' || target !== 'crypt') return 'it is not one crypt target'
  if (kernelCipher !== cipher) return `the kernel encrypts with ${kernelCipher}`
  if (ivOffset !== '0' || offset !== '0') return `the kernel uses offset ${ivOffset}/${offset}`
  return null
}

/** @throws Fault 5 when the kernel does not do what `formatHeader` asked for */
export const checkTable = async (local: Host, member: string, name: string): Promise<void> => {
  const argv = ['dmsetup', 'table', name]
  const output = await local.run({ argv })
  if (output.code !== 0) throw commandFailed(local.name, argv, output)
  const why = tableDiffers(output.stdout)
  if (why) throw new Fault(Exit.trust, `the mapping of ${member} was refused: ${why}`, { member })
}
