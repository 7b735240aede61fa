import { Exit, type ExitCode, Fault } from '../../fault.ts'
import { openProfile } from '../../profile/find.ts'
import { type Job, jobTitle } from '../../record/job.ts'
import { vaultPaths } from '../../record/paths.ts'
import { readRecord } from '../../record/record.ts'
import type { World } from '../world.ts'
import { enter } from './enter.ts'
import { follow } from './follow.ts'
import { type Retired, retire, retiredLines } from './retire.ts'

/**
 * A change of members from wherever it stands to its end, phase by phase as the record names them: what every such verb
 * does after its beginning, and all that `resume` does.
 */

/** More than one change has. */
const phases = 8

/** @returns exit 0 when the change is done */
export const carryOn = async (world: World, name: string, json: boolean): Promise<ExitCode> => {
  const { profile } = await openProfile(name, world.env, { uid: world.uid })
  const { record: path } = vaultPaths(profile.vault, world.env)
  const first = (await readRecord(path))?.job
  if (first === undefined)
    throw new Fault(Exit.decide, `no change of ${profile.vault} is under way`, {
      stands: 'nothing was changed',
      next: `cloudvault status ${profile.vault}`,
    })
  let retired: Retired | null = null
  for (let phase = 0; phase < phases; phase++) {
    const job = (await readRecord(path))?.job
    if (job === undefined) return tell(world, profile.vault, first, retired, json)
    if (job.phase === 'prepare') await enter(world, name, job, json)
    if (job.phase === 'move') await follow(world, name, json)
    if (job.phase === 'retire') retired = await retire(world, name, job, json)
  }
  throw new Error(`a change of ${profile.vault} goes round in circles`)
}

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
