import { Exit, type ExitCode, Fault } from '../../fault.ts'
import { openProfile } from '../../profile/find.ts'
import { type Job, jobTitle } from '../../record/job.ts'
import { vaultPaths } from '../../record/paths.ts'
import { readRecord } from '../../record/record.ts'
import { type Rotation, rotationTitle } from '../../record/rotation.ts'
import { startMissingMonitor } from '../../vault/services.ts'
import { inBackground } from '../background.ts'
import { Context } from '../context.ts'
import type { World } from '../world.ts'
import { enter } from './enter.ts'
import { follow } from './follow.ts'
import { HeldKey } from './held-key.ts'
import { type Retired, retire, retiredLines } from './retire.ts'
import { nextTurn, tellRotated } from './rotate.ts'

/**
 * A change of members from wherever it stands to its end, phase by phase as the record names them: what every such verb
 * does after its beginning, and all that `resume` does.
 */

/** More than one change has, and one member's turn. */
const phases = 8

/**
 * @param held the vault key, where the verb has it already
 * @returns exit 0 when the change is done
 */
export const carryOn = async (
  world: World,
  name: string,
  json: boolean,
  held = new HeldKey(),
): Promise<ExitCode> => {
  try {
    return await phaseByPhase(world, name, json, held)
  } finally {
    held.wipe()
  }
}

const phaseByPhase = async (world: World, name: string, json: boolean, held: HeldKey): Promise<ExitCode> => {
  const { profile } = await openProfile(name, world.env, { uid: world.uid })
  const { record: path } = vaultPaths(profile.vault, world.env)
  const begun = await readRecord(path)
  const { job: first, rotation } = begun ?? {}
  if (first === undefined && rotation === undefined)
    throw new Fault(Exit.decide, `no change of ${profile.vault} is under way`, {
      stands: 'nothing was changed',
      next: `cloudvault status ${profile.vault}`,
    })
  await watched(world, name, json)
  let retired: Retired | null = null
  for (let phase = 0; phase < phases * (1 + (rotation?.left.length ?? 0)); phase++) {
    const record = await readRecord(path)
    const job = record?.job
    const kept = record?.rotation ? [] : (rotation?.left ?? []).filter((member) => record?.members[member])
    if (rotation && kept.length > 0) throw rotationGivenUp(profile.vault, rotation, kept)
    if (first && job && !rotation && job.since !== first.since) throw givenUp(profile.vault, first, job)
    if (job?.phase === 'prepare') await enter(world, name, job, { json, held })
    if (job?.phase === 'move') await follow(world, name, json)
    if (job?.phase === 'retire') retired = await retire(world, name, job, json)
    if (job !== undefined) continue
    if (record?.rotation) await nextTurn(world, name, json)
    else if (rotation) return tellRotated(world, name, rotation, json)
    else if (first) return tell(world, profile.vault, first, retired, json)
  }
  throw new Error(`a change of ${profile.vault} goes round in circles`)
}

/** Nothing that takes hours is gone on with while nobody sits an outage out. Whoever has the lock sees to it himself. */
const watched = async (world: World, name: string, json: boolean): Promise<void> => {
  try {
    const context = await Context.open(world, name, { change: true })
    try {
      const watch = inBackground(world, ['monitor', context.profile.path])
      if ((await startMissingMonitor(context, watch, world.perform)) && !json)
        world.stderr.write(`no monitor ran for ${context.profile.vault}: one was started\n`)
    } finally {
      await context.close()
    }
  } catch (error) {
    if (!(error instanceof Fault) || error.exit !== Exit.busy) throw error
  }
}

/** Whoever gave it up goes on with the way back; two at it would be in each other's way. */
const givenUp = (vault: string, first: Job, now: Job): Fault =>
  new Fault(Exit.busy, `${jobTitle(first)} was given up by somebody else`, {
    stands: `${jobTitle(now)} is under way instead`,
    next: `cloudvault status ${vault}`,
  })

/** Who is still a member under the old name has the old key. */
const rotationGivenUp = (vault: string, rotation: Rotation, kept: readonly string[]): Fault =>
  new Fault(Exit.busy, `${rotationTitle(rotation)}, and it was given up by somebody else`, {
    stands: `the vault is in use; ${kept.join(', ')} keeps the volume key it has`,
    next: `cloudvault status ${vault}`,
  })

const tell = async (
  world: World,
  vault: string,
  job: Job,
  retired: Retired | null,
  json: boolean,
): Promise<ExitCode> => {
  const resilvering = job.kind === 'replace'
  if (json) {
    const { kind, joins, leaves, to } = job
    const shown = { kind, joins, leaves, redundancy: to, left: retired?.left ?? null }
    world.stdout.write(`${JSON.stringify({ schema: 'cloudvault.change/1', vault, ...shown })}\n`)
    return Exit.ok
  }
  const lines = [
    `${vault}: ${jobTitle(job)}: done`,
    ...(retired ? retiredLines(vault, retired) : []),
    ...(resilvering ? [`every copy is being read once more: cloudvault status ${vault}`] : []),
  ]
  world.stdout.write(`${lines.join('\n')}\n`)
  return Exit.ok
}
