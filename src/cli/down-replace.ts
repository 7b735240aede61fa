import { Exit, Fault } from '../fault.ts'
import { mountAt } from '../stack/mount.ts'
import { replaceState } from '../stack/replace.ts'
import type { Context } from './context.ts'

/**
 * Why a vault is not taken down while a member is being replaced: the kernel keeps no note of how far the copy is when a
 * filesystem is unmounted with a program waiting for it, and hours would be begun anew. At shutdown nobody can be asked.
 */
export const refuseInReplace = async ({ profile, record, vault }: Context): Promise<void> => {
  const { job } = record ?? {}
  if (job?.kind !== 'replace' || job.phase !== 'move' || (await mountAt(profile.mount.at)) === null) return
  const state = await replaceState(vault.local, profile.mount.at)
  if (state.is !== 'running') return
  throw new Fault(
    Exit.decide,
    `${job.leaves} is being replaced by ${job.joins} (${Math.floor(state.share * 100)} %); going down now would begin it anew`,
    {
      stands: 'the vault is mounted, untouched; the copy goes on',
      next: `cloudvault status ${profile.vault}   (shows how far it is), or cloudvault cancel ${profile.vault}   (gives it up), then down`,
    },
  )
}
