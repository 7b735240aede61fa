import { Exit, Fault } from '../fault.ts'
import { mapperPath } from '../names.ts'
import { joined } from '../record/job.ts'
import { type RecordData, updateRecord } from '../record/record.ts'
import { readSuperblock } from './btrfs.ts'
import { memberRecord } from './identify.ts'
import type { Vault } from './vault.ts'

/**
 * A machine that crashed between the kernel's taking a member in and our noting it: the newcomer's own superblock tells.
 * @throws Fault 7 when it was never taken in
 */
export const settleNewcomer = async (vault: Vault, { job, fsid }: RecordData): Promise<void> => {
  if (job?.joining !== true || job.joins === undefined) return
  const { joins } = job
  const block = await readSuperblock(vault.local, mapperPath(vault.profile.vault, joins), false)
  if (block?.fsid !== fsid) {
    await updateRecord(vault.paths.record, (now) => {
      const { joining: _, ...rest } = now.job ?? job
      return { ...now, job: rest }
    })
    throw new Fault(Exit.decide, `${joins} was about to be added, and was not`, {
      member: joins,
      stands: 'nothing was mounted',
      next: `cloudvault up ${vault.profile.vault}, then cloudvault resume ${vault.profile.vault}   (adds it)`,
    })
  }
  const known = await memberRecord(vault, joins, block)
  await updateRecord(vault.paths.record, (now) => joined(now, joins, known))
}
