import { Exit } from '../fault.ts'
import { mapperPath } from '../names.ts'
import { jobTitle } from '../record/job.ts'
import { readRecord } from '../record/record.ts'
import { NoRoom } from '../stack/balance.ts'
import { readSuperblock, syncCommand } from '../stack/btrfs.ts'
import type { Vault } from '../stack/vault.ts'

/** A change of members that met a full disk: whose room is short, in numbers, because only that says what would help. */

const mebi = 2 ** 20

/** @returns Fault 7 with what every member that stays has left to give, and what to do */
export const whatIsShort = async (vault: Vault, { message, details }: NoRoom): Promise<NoRoom> => {
  const { vault: name, mount } = vault.profile
  const record = await readRecord(vault.paths.record)
  const job = record?.job
  // What was freed a moment ago is in the superblocks with the next commit.
  await vault.local.run(syncCommand(mount.at))
  const left: string[] = []
  for (const member of Object.keys(record?.members ?? {})) {
    if (job?.kind === 'remove' && job.leaves === member) continue
    const block = await readSuperblock(vault.local, mapperPath(name, member), true).catch(() => null)
    if (block) left.push(`${member} ${Math.floor((block.totalBytes - block.allocatedBytes) / mebi)} MiB`)
  }
  const wants = job ? ` (${job.to})` : ''
  return new NoRoom(
    Exit.decide,
    `${message}${wants}; left to give: ${left.join(', ') || 'nothing that is known'}`,
    {
      ...(details.stands ? { stands: details.stands } : {}),
      next: `delete something in ${mount.at}, then cloudvault resume ${name}; or cloudvault cancel ${name}${job ? `   (gives up ${jobTitle(job)})` : ''}`,
    },
  )
}
