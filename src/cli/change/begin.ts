import { Exit, type ExitCode, Fault } from '../../fault.ts'
import { memberId, parkUnit } from '../../names.ts'
import { type Member, type Profile, type Redundancy, spareCopies } from '../../profile/profile.ts'
import { writeProfile } from '../../profile/write.ts'
import { type Job, jobTitle } from '../../record/job.ts'
import { updateRecord } from '../../record/record.ts'
import { rotationTitle } from '../../record/rotation.ts'
import { findByBackend } from '../../stack/attach/sysfs.ts'
import { mountAt } from '../../stack/mount.ts'
import type { Supervisor } from '../../stack/supervise.ts'
import type { Context } from '../context.ts'
import type { World } from '../world.ts'
import type { Edited } from './newcomer.ts'
import { agree, type ChangePlan, printChange } from './plan.ts'

/** The beginning of every change of members: may it begin, and the two notes that make it a thing that can be resumed. */

/** What every verb that changes the members takes. */
export interface ChangeOptions {
  readonly json?: boolean
  readonly dryRun?: boolean
  /** Do not ask after the plan. */
  readonly yes?: boolean
  /** Bytes a second that may be moved, as a person writes it. */
  readonly limit?: string
  /** "member=SHA256:…" */
  readonly acceptHostKey?: readonly string[]
}

/** @throws Fault 2 */
export const memberNamed = ({ profile, record }: Context, name: string): Member => {
  const member = profile.members.find((entry) => entry.name === name && record?.members[name] !== undefined)
  if (member) return member
  throw new Fault(Exit.usage, `${profile.vault} has no member ${name}`, {
    stands: 'nothing was changed',
    next: `its members are ${Object.keys(record?.members ?? {}).join(', ')}`,
  })
}

/** @throws Fault 2 */
export const redundancyOf = (text: string): Redundancy => {
  if (Object.hasOwn(spareCopies, text)) return text as Redundancy
  throw new Fault(
    Exit.usage,
    `${JSON.stringify(text)} is not one of ${Object.keys(spareCopies).join(', ')}`,
    {
      stands: 'nothing was changed',
    },
  )
}

/** Whether it takes no part, or its server has been silent for longer than patience. */
export const isDead = async ({ profile, supervisor }: Context, member: string): Promise<boolean> =>
  (await findByBackend(memberId(profile.vault, member))) === null ||
  (await isParked(supervisor, profile, member))

const isParked = async (supervisor: Supervisor, { vault }: Profile, member: string): Promise<boolean> =>
  (await supervisor.probe(parkUnit(vault, member))).is === 'present'

/**
 * The allocator would put new chunks onto a device that is attached and answers with errors; of one that is not there it
 * knows.
 * @throws Fault 7
 */
export const refuseParked = async ({ profile, supervisor }: Context, member: string): Promise<void> => {
  if (!(await isParked(supervisor, profile, member))) return
  const { vault } = profile
  throw new Fault(
    Exit.decide,
    `${member} does not answer, and storing less of everything could put some of it there`,
    {
      stands: 'nothing was changed',
      next: `cloudvault down ${vault}, then cloudvault up ${vault} --degraded=rw, then the same command; or cloudvault replace ${vault} ${member} --with name=…,ssh=…`,
    },
  )
}

/** @throws Fault 7 when the vault is not mounted for writing, is being mended, or another change is under way */
export const mayBegin = async (context: Context): Promise<void> => {
  const { profile, record } = context
  const { vault, mount } = profile
  if (record?.phase !== 'created')
    throw new Fault(Exit.missing, `this machine has no finished record of ${vault}`, {
      next: `cloudvault status ${vault}`,
    })
  if (record.job)
    throw new Fault(Exit.busy, `${vault} is being changed already: ${jobTitle(record.job)}`, {
      stands: 'nothing new was begun',
      next: `cloudvault resume ${vault}   (shows how far it is, and goes on), or cloudvault cancel ${vault}`,
    })
  if (record.rotation)
    throw new Fault(Exit.busy, rotationTitle(record.rotation), {
      stands: 'nothing new was begun',
      next: `cloudvault resume ${vault}   (goes on with it), or cloudvault cancel ${vault}`,
    })
  const mounted = await mountAt(mount.at)
  if (mounted === null || mounted.readOnly)
    throw new Fault(Exit.decide, `${vault} is not mounted for writing`, {
      stands: 'nothing was changed',
      next: `cloudvault up ${vault}`,
    })
}

/**
 * @param leaves who goes may have missed writes: nothing is taken from it that others have
 * @throws Fault 7 while a copy is known to be behind: data would be moved from a member that may lack it
 */
export const mustBeWhole = ({ profile, record }: Context, leaves?: string): void => {
  const behind = record?.resilver?.members.filter((name) => name !== leaves) ?? []
  if (behind.length === 0) return
  throw new Fault(Exit.decide, `${behind.join(', ')} missed writes and is being made equal`, {
    stands: 'nothing was changed',
    next: `cloudvault resilver ${profile.vault}   (shows how far it is), then the same command`,
  })
}

/**
 * The profile first: killed before the second note, there is a member in it that the vault does not have, which every
 * `up` tells and `add-mirror --member NAME` goes on from.
 */
export const begin = async (context: Context, edited: Edited, job: Job): Promise<void> => {
  await writeProfile(context.profile.path, edited.before, edited.after)
  await updateRecord(context.paths.record, (record) => ({ ...record, job }))
}

/** Shows what will be done, asks, and notes it. @returns exit 0 of a dry run; null when the change is begun */
export const propose = async (
  world: World,
  context: Context,
  plan: ChangePlan,
  options: ChangeOptions,
): Promise<ExitCode | null> => {
  if (options.dryRun) return printChange(world, context, plan, options.json === true)
  await agree(world, context, plan, options)
  await begin(context, plan.profile, plan.job)
  return null
}
