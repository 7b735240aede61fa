import type { Observer } from '../engine/events.ts'
import type { Step } from '../engine/step.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import type { Member } from '../profile/profile.ts'
import { formatSize } from '../profile/units.ts'
import { jobTitle } from '../record/job.ts'
import { type RecordData, sizesOf } from '../record/record.ts'
import { type Applied, applySteps } from '../server/apply.ts'
import { memberStack } from '../stack/order.ts'
import { confirm } from '../ui/ask.ts'
import { tasks } from '../ui/tasks.ts'
import { bytes } from '../ui/text.ts'
import { cannotResilver } from '../vault/heal.ts'
import { abandon, type Resize, resizeSteps } from '../vault/resize.ts'
import { planResize, type ResizePlan, wantedSize } from '../vault/resize-plan.ts'
import { consent } from './consent.ts'
import { Context, requireRoot } from './context.ts'
import { groupsOf, planOf } from './plan.ts'
import { renewKit } from './renew-kit.ts'
import { type Edit, profileEdit } from './resize-profile.ts'
import { describePlan, tell } from './resize-words.ts'
import type { World } from './world.ts'

/**
 * `cloudvault resize`: a member's disk, device, encryption and filesystem get another size while the vault is in use. The
 * same command finishes what was cut off.
 */

export interface ResizeOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
  /** Grow without a question. */
  readonly yes?: boolean
  /** The vault's name, typed: the consent to a shrink. */
  readonly confirm?: string
}

export const resizeVerb = async (
  world: World,
  name: string,
  memberName: string,
  size: string,
  options: ResizeOptions,
): Promise<ExitCode> => {
  requireRoot(world, 'resize', name)
  const context = await Context.open(world, name, { change: true })
  // A resilver moves chunks too, and a scrub would lose its place.
  const lock = await world.local.lock(context.paths.resilverLock, name).catch(async (error) => {
    await context.close()
    throw error
  })
  try {
    const member = memberOf(context, memberName)
    const record = await ready(context)
    const server = context.vault.server(member.name)
    const toBytes = await wantedSize(context.vault, record, member, size, server)
    const plan = await planResize(context.vault, record, member, toBytes, server)
    const edit = await profileEdit(world, context, member, toBytes)
    return await resize(world, context, member, { record, plan, edit }, options)
  } finally {
    await lock.release()
    await context.close()
  }
}

const memberOf = ({ profile }: Context, name: string): Member => {
  const member = profile.members.find((entry) => entry.name === name)
  if (member) return member
  throw new Fault(Exit.usage, `${profile.vault} has no member ${name}`, {
    stands: 'nothing was changed',
    next: `members of this profile: ${profile.members.map((entry) => entry.name).join(', ')}`,
  })
}

/** Everything stands and is equal: a size that one copy knows and another does not would be one more way to differ. */
const ready = async (context: Context): Promise<RecordData> => {
  const { record, profile, vault, supervisor } = context
  const refuse = (why: string, next: string): Fault =>
    new Fault(Exit.decide, why, {
      stands: 'nothing was changed',
      next: `cloudvault ${next} ${profile.vault}`,
    })
  if (record?.phase !== 'created')
    throw refuse(`this machine has no finished record of ${profile.vault}`, 'status')
  const why = await cannotResilver(vault, supervisor)
  if (why !== null) throw refuse(why, why.includes('not mounted') ? 'up' : 'status')
  if (record.job) throw refuse(`${jobTitle(record.job)} is not finished`, 'resume')
  if (record.resilver)
    throw refuse(`${record.resilver.members.join(', ')} missed writes and is not equal again yet`, 'resilver')
  return record
}

interface Planned {
  readonly record: RecordData
  readonly plan: ResizePlan
  readonly edit: Edit | null
}

const resize = async (
  world: World,
  context: Context,
  member: Member,
  { record, plan, edit }: Planned,
  options: ResizeOptions,
): Promise<ExitCode> => {
  const { vault, supervisor, profile } = context
  const known = record.members[member.name]
  const watch = { signal: world.signal, seen: (_leftBytes: number): void => {} }
  const work: Resize = {
    vault,
    member,
    link: memberStack(vault, member, sizesOf(known), { supervisor, takeOver: false }).link,
    server: vault.server(member.name),
    devid: known?.devid ?? 0,
    ...{ fromBytes: plan.fromBytes, toBytes: plan.toBytes },
    profile: edit?.step ?? null,
    shrinking: watch,
  }
  const steps = resizeSteps(work)
  const planned = await planOf(steps, 'up')
  const done = planned.every((step) => step.now === 'present')
  const json = options.json === true
  const shown = { schema: 'cloudvault.resize/1', vault: profile.vault, member: member.name, ...plan }
  if (options.dryRun || !(done || json))
    describePlan(world, profile, member, { plan, lines: edit?.lines ?? [], steps: planned, shown }, options)
  if (options.dryRun) return Exit.ok
  if (done) return tell(world, shown, [], null, json)
  await agree(world, context, member, plan, options)
  if (planned.some((step) => step.step.startsWith('mapping ') && step.now !== 'present'))
    await context.unlock()
  const applied = await carryOut(world, work, steps, watch, json)
  return tell(world, shown, applied, await renewKit(context), json)
}

const carryOut = async (
  world: World,
  work: Resize,
  steps: readonly Step[],
  watch: { seen: (leftBytes: number) => void },
  json: boolean,
): Promise<Applied[]> => {
  const { vault } = work.vault.profile
  const { name } = work.member
  const run = (observe: Observer): Promise<Applied[]> => {
    watch.seen = (left) =>
      observe({ step: `filesystem ${name}`, state: 'making', note: `${bytes(left)} left to move` })
    return applySteps(steps, { signal: world.signal, observe })
  }
  const awake = world.local.stayAwake(`${vault} is being resized`)
  try {
    return await tasks(world, `resize ${vault} ${name}`, groupsOf(vault, [name], steps), run, { json })
  } catch (error) {
    return await failed(work, vault, error)
  } finally {
    await awake.release()
  }
}

const failed = async (work: Resize, vault: string, error: unknown): Promise<never> => {
  if (!(error instanceof Fault)) throw error
  const same = await abandon(work).catch(() => false)
  if (same) throw error.with({ stands: 'the vault is as it was, and in use' })
  const { member, toBytes } = work
  throw error.with({
    stands: 'the vault is in use; the size is half changed, and either is taken by the next up',
    next: `cloudvault resize ${vault} ${member.name} ${member.disk.kind === 'file' ? formatSize(toBytes) : 'max'}   (goes on from there)`,
  })
}

const agree = async (
  world: World,
  { profile }: Context,
  member: Member,
  { fromBytes, toBytes }: ResizePlan,
  options: ResizeOptions,
): Promise<void> => {
  if (toBytes < fromBytes)
    return consent(
      world,
      profile.vault,
      options.confirm,
      `The last ${bytes(fromBytes - toBytes)} of the disk of ${member.name} are given up, after what lies there was moved.`,
    )
  if (options.yes || options.confirm === profile.vault) return
  if (await confirm(world, { message: 'Go on?', flag: '--yes', initial: true })) return
  throw new Fault(Exit.interrupted, 'you said no', { stands: 'nothing was changed' })
}
