import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, Fault } from '../../fault.ts'
import { monitorUnit } from '../../names.ts'
import { type Job, jobTitle } from '../../record/job.ts'
import { readRecord, updateRecord } from '../../record/record.ts'
import { progressLines } from '../../ui/progress.ts'
import { cannotMove, moveAlone } from '../../vault/move.ts'
import { readProgress } from '../../vault/progress.ts'
import { Context } from '../context.ts'
import type { World } from '../world.ts'

/**
 * Waits for the long part of a change, and shows it. The monitor does the work, so that a lost terminal or Ctrl-C ends
 * the watching and nothing else; only where no monitor runs it is done here. No lock of the vault is held: `down` and
 * `status` must be able to work.
 */

/** Twenty days of them, one every two seconds. */
const looks = (20 * 24 * 3600) / 2

/** @throws Fault 7 when it cannot go on by itself, 130 when a person stopped watching */
export const follow = async (world: World, name: string, json: boolean): Promise<void> => {
  const context = await Context.open(world, name, { change: false })
  try {
    const { vault, supervisor, paths, profile } = context
    await forgetTrouble(context)
    const show = progressLines(world, json)
    let followed: string | undefined
    for (let look = 0; look < looks; look++) {
      const job = (await readRecord(paths.record))?.job
      if (job?.phase !== 'move' || job.since !== (followed ?? job.since)) return
      followed = job.since
      const why = job.trouble ?? (await cannotMove(vault, supervisor))
      const watched = (await supervisor.probe(monitorUnit(profile.vault))).is === 'present'
      if (why !== null) throw stuck(profile.vault, job, why, watched)
      if (!watched && (await doneHere(context, world, show))) return
      const progress = await readProgress(paths.progress)
      if (progress) show(progress)
      await sleep(2000, undefined, { signal: world.signal }).catch(() => {
        throw new Fault(Exit.interrupted, 'stopped watching', {
          stands: `${jobTitle(job)} goes on in the background`,
          next: `cloudvault status ${profile.vault}`,
        })
      })
    }
    throw new Fault(Exit.unreachable, 'the change did not end within 20 days')
  } finally {
    await context.close()
  }
}

const doneHere = async (
  { vault }: Context,
  world: World,
  show: ReturnType<typeof progressLines>,
): Promise<boolean> => {
  try {
    return await moveAlone(vault, world.signal, show)
  } catch (error) {
    if (error instanceof Fault && error.exit === Exit.busy) return false
    throw error
  }
}

/** Whoever types `resume` wants it tried again. */
const forgetTrouble = ({ paths }: Context): Promise<void> =>
  updateRecord(paths.record, (record) => {
    if (record.job?.trouble === undefined) return record
    const { trouble: _, ...job } = record.job
    return { ...record, job }
  })

const stuck = (vault: string, job: Job, why: string, watched: boolean): Fault =>
  new Fault(Exit.decide, `${jobTitle(job)} cannot go on: ${why}`, {
    stands:
      job.kind === 'replace'
        ? `${job.leaves} is a member as before; every file is there`
        : 'what was moved until now stays moved; every file is there',
    next:
      watched && job.trouble === undefined
        ? `nothing: it goes on by itself when the cause is gone; cloudvault resume ${vault}   shows it, cloudvault cancel ${vault}   gives it up`
        : `cloudvault resume ${vault}   when the cause is gone, or cloudvault cancel ${vault}`,
  })
