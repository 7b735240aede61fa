import { together } from '../engine/together.ts'
import { Exit, Fault } from '../fault.ts'
import { mapperPath } from '../names.ts'
import { parseLabel } from '../record/epoch.ts'
import type { MemberRecord, RecordData } from '../record/record.ts'
import { deviceState } from './attach/sysfs.ts'
import { readSuperblock, type Superblock } from './btrfs.ts'
import { headerUuid } from './luks.ts'
import type { Vault } from './vault.ts'

/** Who the members are, read from the opened devices: how the record of a vault begins, at `create` and at `discover`. */

export type Identity = Pick<RecordData, 'fsid' | 'members' | 'generation' | 'epochs'>

/**
 * Filesystem, device ids and UUIDs are how members are known from now on.
 * @throws Fault 5 when a member has no filesystem, or they are not the devices of one and the same
 */
export const identify = async (vault: Vault): Promise<Identity> => {
  const found = await together(
    vault.profile.members.map(async ({ name }) => {
      const block = await readSuperblock(vault.local, mapperPath(vault.profile.vault, name), true)
      if (!block)
        throw new Fault(Exit.trust, `${name} holds no filesystem that opens with its header`, {
          member: name,
          next: `check that its server was not swapped or reinstalled; ${vault.restore(`headers/${name}.luks`)}`,
        })
      return { name, block, record: await memberRecord(vault, name, block) }
    }),
  )
  const why = disagreement(found)
  if (why)
    throw new Fault(Exit.trust, `the members are not of one filesystem: ${why}`, {
      next: 'check that the servers were not swapped or reinstalled, and that the headers here belong to them',
    })
  return {
    fsid: found[0]?.block.fsid ?? '',
    members: Object.fromEntries(found.map(({ name, record }) => [name, record])),
    generation: Math.max(...found.map(({ block }) => block.generation)),
    ...epochsOf(vault.profile.vault, found),
  }
}

/** What the labels tell of epochs: enough for the next `up` to know a half that is behind from one that went its own way. */
export const epochsOf = (vault: string, found: Found): Pick<RecordData, 'epochs'> => {
  const carried = new Map(
    found.flatMap(({ block }) => {
      const epoch = parseLabel(vault, block.label)
      return epoch ? [[block.label, epoch] as const] : []
    }),
  )
  if (carried.size === 0) return {}
  const epochs = [...carried].map(([label, epoch]) => ({
    ...epoch,
    members: found.filter(({ block }) => block.label === label).map(({ name }) => name),
    written: true as const,
  }))
  return { epochs: epochs.sort((one, other) => one.n - other.n) }
}

type Found = readonly { readonly name: string; readonly block: Superblock }[]

/** In words why these are not all devices of one filesystem; null when they are. */
export const disagreement = (found: Found): string | null => {
  const different = new Set(found.map(({ block }) => block.fsid)).size > 1
  if (different) return found.map(({ name, block }) => `${name} holds ${block.fsid}`).join(', ')
  const [first] = found
  if (first && first.block.devices !== found.length)
    return `it has ${first.block.devices} devices, the profile has ${found.length} members`
  const ids = found.map(({ name, block }) => `${name} is device ${block.devid}`)
  return new Set(found.map(({ block }) => block.devid)).size < found.length ? ids.join(', ') : null
}

/** What is written down of a member whose device is open. */
export const memberRecord = async (
  vault: Vault,
  member: string,
  block: Superblock,
): Promise<MemberRecord> => ({
  devid: block.devid,
  deviceUuid: block.deviceUuid,
  luksUuid: await headerUuid(vault.local, vault.paths.header(member)),
  sizeBytes: Number((await deviceState(vault.nbdIndex(member))).sizeBytes),
  generation: block.generation,
})
