import { rm } from 'node:fs/promises'
import { unwind } from '../../engine/unwind.ts'
import { Exit, Fault } from '../../fault.ts'
import { destroyFile } from '../../host/files.ts'
import { removeMember } from '../../profile/edit.ts'
import { becomeTwin } from '../../profile/edit-twin.ts'
import type { Member } from '../../profile/profile.ts'
import { readText } from '../../profile/text.ts'
import { writeProfile } from '../../profile/write.ts'
import type { Job } from '../../record/job.ts'
import { updateRecord } from '../../record/record.ts'
import { turned } from '../../record/rotation.ts'
import { removeSteps } from '../../server/apply.ts'
import { unprovisionSteps } from '../../server/steps.ts'
import { openLuks } from '../../stack/luks.ts'
import { memberStack } from '../../stack/order.ts'
import { tasks } from '../../ui/tasks.ts'
import { Context } from '../context.ts'
import { groupsOf } from '../plan.ts'
import type { World } from '../world.ts'
import { newKit } from './kit.ts'
import { withRedundancy } from './newcomer.ts'

/**
 * A member that holds nothing of the vault any more goes: its device here, its export and disk there, its header, its
 * lines in the profile. What a server that does not answer keeps is said.
 */

/** Keyring, headers and the tar of both. */
const kitRoom = 16 * 1024 * 1024

/** What became of the far side. */
export interface Retired {
  readonly member: string
  /** Why its disk could not be deleted; null when it was. */
  readonly left: string | null
}

/** @param job in its phase `retire` */
export const retire = async (world: World, name: string, job: Job, json: boolean): Promise<Retired> => {
  const member = job.leaves ?? ''
  const left = await takeAway(world, name, job, json)
  // Opened anew: who takes part is another now.
  const context = await Context.open(world, name, { change: true, room: kitRoom })
  try {
    await newKit(world, context)
  } finally {
    await context.close()
  }
  return { member, left }
}

const takeAway = async (world: World, name: string, job: Job, json: boolean): Promise<string | null> => {
  const { leaves: leaving = '' } = job
  const context = await Context.open(world, name, { change: true, touched: true })
  try {
    const { profile, paths } = context
    const member = profile.members.find((entry) => entry.name === leaving)
    let left: string | null = null
    if (member !== undefined) {
      await context.adoptSessions('all')
      await lowerHere(context, member)
      left = await emptyThere(world, context, member, json)
      const before = await readText(profile.path)
      await writeProfile(profile.path, before, withoutLeaver(before, job, profile.path))
    }
    await destroyFile(paths.header(leaving))
    for (const path of [paths.knownHosts(leaving), paths.linkKeys(leaving)])
      await rm(path, { recursive: true, force: true })
    await updateRecord(paths.record, ({ job: _, ...record }) => turned(record, leaving, job.joins))
    return left
  } finally {
    await context.close()
  }
}

/** The profile without the one that goes. A twin never stood there: it takes the lines of the one that it replaces. */
const withoutLeaver = (before: string, job: Job, path: string): string => {
  const { twin, joins = '', leaves = '' } = job
  // Somebody gave it up in the moment in which it was done, and the profile says again what was before.
  if (twin === undefined) return removeMember(withRedundancy(before, job.to, path), leaves, path)
  return job.kind === 'replace' ? becomeTwin(before, leaves, { ...twin, name: joins }, path) : before
}

/** Mapping, device, link and session. A server that does not answer keeps its lease, which nobody will ask for. */
const lowerHere = async ({ vault, supervisor, receipt }: Context, member: Member): Promise<void> => {
  const stack = memberStack(vault, member, [], { supervisor, takeOver: false })
  const steps = [...stack.steps, openLuks(vault, member.name, [stack.top])]
  const { failures } = await unwind(steps, { receipt, observe: () => {} }, () => true)
  const [failure] = failures.filter(({ step }) => !step.startsWith('session '))
  if (failure) throw failure.error
  for (const step of [`session ${member.name}`, `blank disk ${member.name}`, `header ${member.name}`])
    await receipt.forget(step)
}

/** @returns why the disk is still there; null when it is gone */
const emptyThere = async (
  world: World,
  { profile, paths }: Context,
  member: Member,
  json: boolean,
): Promise<string | null> => {
  try {
    const remote = await world.connect(profile, member)
    try {
      const steps = await unprovisionSteps(remote, profile.vault, member, {
        local: world.local,
        paths,
      })
      const groups = groupsOf(profile.vault, [member.name], steps)
      await tasks(
        world,
        `taking away what ${member.name} has`,
        groups,
        (observe) => removeSteps(steps, { signal: world.signal, observe }),
        { json, direction: 'down' },
      )
      return null
    } finally {
      await remote.close()
    }
  } catch (error) {
    if (!(error instanceof Fault) || error.exit === Exit.interrupted) throw error
    return error.message
  }
}

/** What deleting proves, and what it does not. */
export const retiredLines = (vault: string, { member, left }: Retired): string[] => [
  left === null
    ? `${member} has left: its export and its disk were deleted there`
    : `${member} has left, but what it has could not be deleted there: ${left}`,
  '  Nobody can prove that a provider keeps no snapshot. What one could keep is ciphertext, whose header was deleted',
  `  here; copies of older recovery kits of ${vault} still hold it: delete them too.`,
]
