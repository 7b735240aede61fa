import { Exit, type ExitCode, Fault } from '../fault.ts'
import { readText } from '../profile/text.ts'
import { writeProfile } from '../profile/write.ts'
import { type Job, jobTitle, weaker } from '../record/job.ts'
import { readRecord, updateRecord } from '../record/record.ts'
import { type Rotation, rotationTitle } from '../record/rotation.ts'
import { endUpkeep, mountAt } from '../stack/mount.ts'
import { confirm } from '../ui/ask.ts'
import { jsonLine } from '../ui/json.ts'
import { carryOn } from './change/carry-on.ts'
import { withRedundancy } from './change/newcomer.ts'
import { Context, requireRoot } from './context.ts'
import type { World } from './world.ts'

/**
 * `cloudvault cancel`: gives a change of members up. Half of it is no legal state, so it is turned round: what was begun
 * is taken back by the same means, which may take as long as it took to get there.
 */

export interface CancelOptions {
  readonly json?: boolean
  readonly yes?: boolean
}

export const cancelVerb = async (world: World, name: string, options: CancelOptions): Promise<ExitCode> => {
  requireRoot(world, 'cancel', name)
  const context = await Context.open(world, name, { change: true, touched: true })
  try {
    const { profile, record, paths, vault } = context
    const job = record?.job
    if (record?.rotation && job === undefined)
      return await endRotation(world, context, record.rotation, options)
    if (job === undefined)
      throw new Fault(Exit.decide, `no change of ${profile.vault} is under way`, {
        stands: 'nothing was changed',
      })
    if (job.joining && (await mountAt(profile.mount.at)) === null)
      throw new Fault(Exit.decide, `whether ${job.joins} was taken in is seen when the vault comes up`, {
        stands: 'nothing was changed',
        next: `cloudvault up ${profile.vault}`,
      })
    const back = reversed(job)
    if (back === null) throw tooLate(profile.vault, job)
    await agreeToCancel(world, jobTitle(job), options)
    const before = await readText(profile.path)
    await writeProfile(profile.path, before, withRedundancy(before, job.from, profile.path))
    // First what is wanted, then an end to what is under way: whoever is at it sees the new one when it looks.
    await updateRecord(paths.record, ({ rotation: _, ...now }) => ({ ...now, job: back }))
    await endUpkeep(vault.local, profile.mount.at)
    await settled(context)
    const after = (await readRecord(paths.record))?.job
    if (after?.since === job.since && after.phase === 'retire') throw tooLate(profile.vault, after)
  } finally {
    await context.close()
  }
  return carryOn(world, name, options.json === true)
}

/** Milliseconds for whoever moves data to see that something else is wanted, and to note how it ended. */
const settleMs = 30_000

/** What the kernel brought to its end in this very moment is noted as done, in the place of what was wanted instead. */
const settled = async ({ vault, profile, paths }: Context): Promise<void> => {
  try {
    const lock = await vault.local.lock(paths.resilverLock, profile.vault, settleMs)
    await lock.release()
  } catch (error) {
    // A resilver has it: then nobody moves anything.
    if (!(error instanceof Fault) || error.exit !== Exit.busy) throw error
  }
}

const tooLate = (vault: string, job: Job): Fault =>
  new Fault(Exit.decide, `${jobTitle(job)} is done but for what ${job.leaves} still has there`, {
    stands: 'nothing was changed',
    next: `cloudvault resume ${vault}`,
  })

/** The change that takes this one back; null when there is nothing to take back any more. */
export const reversed = (job: Job): Job | null => {
  const { kind, phase, joins, leaves, from, to, limit } = job
  const kept = limit === undefined ? {} : { limit }
  const back = { from: weaker(from, to), to: from, since: new Date().toISOString(), ...kept }
  if (phase === 'retire') return null
  if (kind === 'add' || kind === 'replace') {
    if (joins === undefined) return null
    const held = kind === 'add' && (phase === 'move' || job.joining === true)
    const twin = job.twin ? { twin: job.twin } : {}
    return { kind: 'remove', phase: held ? 'move' : 'retire', leaves: joins, ...back, ...twin }
  }
  return { kind: 'convert', phase: 'move', ...(leaves === undefined ? {} : { regrows: leaves }), ...back }
}

/** Between two members: who has a new key keeps it. */
const endRotation = async (
  world: World,
  { profile, paths }: Context,
  rotation: Rotation,
  options: CancelOptions,
): Promise<ExitCode> => {
  const { vault } = profile
  await agreeToCancel(world, rotationTitle(rotation), options)
  await updateRecord(paths.record, ({ rotation: _, ...now }) => now)
  if (options.json) world.stdout.write(jsonLine({ schema: 'cloudvault.change/1', vault, kind: 'rotate' }))
  else world.stdout.write(`${vault}: ${rotationTitle(rotation)}, and it stays so\n`)
  return Exit.ok
}

const agreeToCancel = async (world: World, title: string, options: CancelOptions): Promise<void> => {
  if (options.yes) return
  if (await confirm(world, { message: `Give up ${title}, and take back what was done?`, flag: '--yes' }))
    return
  throw new Fault(Exit.interrupted, 'not cancelled', { stands: `${title} goes on` })
}
