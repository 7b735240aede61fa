import { climb } from '../engine/climb.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import type { Member, Redundancy } from '../profile/profile.ts'
import type { RecordData } from '../record/record.ts'
import { mountAt } from '../stack/mount.ts'
import { vaultSteps } from '../stack/order.ts'
import { tasks } from '../ui/tasks.ts'
import { Context, groupsOf, requireRoot } from './context.ts'
import { printPlan } from './plan.ts'
import type { World } from './world.ts'

/** `cloudvault up`: sessions, links, devices, encryption, filesystem, mount. A second `up` changes nothing. */

export interface UpOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
  readonly readOnly?: boolean
  readonly takeOver?: boolean
  /** Go on without members that do not answer: only read-only. */
  readonly degraded?: 'ro'
  /** Mount although a member serves an older state than the others. */
  readonly allowStale?: boolean
}

export const upVerb = async (world: World, name: string, options: UpOptions): Promise<ExitCode> => {
  requireRoot(world, 'up', name)
  const context = await Context.open(world, name, { change: true, goingUp: true })
  try {
    const record = createdRecord(context)
    await context.connectAll()
    const members = await participants(context, options)
    const readOnly = options.readOnly === true || members.length < context.profile.members.length
    const plan = vaultSteps(context.vault, record, {
      supervisor: context.supervisor,
      members,
      takeOver: options.takeOver === true,
      readOnly,
      allowStale: options.allowStale === true,
      watch: [...world.self, 'monitor', context.profile.path],
    })
    if (options.dryRun) {
      await printPlan(world, 'cloudvault.up/1', plan.steps, 'up', options.json === true)
      return Exit.ok
    }
    await context.saveFacts()
    if (await needsKey(plan.steps)) await context.unlock()
    const climbed = await tasks(
      world,
      `up ${context.profile.vault}`,
      groupsOf(
        context.profile.vault,
        members.map((member) => member.name),
        plan.steps,
      ),
      (observe) =>
        climb(plan.steps, {
          receipt: context.receipt,
          signal: world.signal,
          perform: world.perform,
          observe,
        }),
      { json: options.json === true },
    )
    result(world, context, { members, readOnly, made: climbed.made }, options.json === true)
    return Exit.ok
  } finally {
    await context.close()
  }
}

const createdRecord = (context: Context): RecordData => {
  if (context.record?.phase === 'created') return context.record
  const { vault } = context.profile
  throw context.record
    ? new Fault(Exit.decide, `creating ${vault} was not finished`, {
        stands: 'nothing was mounted',
        next: `cloudvault create ${vault}`,
      })
    : new Fault(Exit.missing, `this machine has no record of ${vault}`, {
        stands: 'nothing was contacted',
        next: `cloudvault create ${vault}   (a new vault), or restore its recovery kit into ${context.paths.state}`,
      })
}

/** How many members may be away and all data still be there. */
const spare: Record<Redundancy, number> = { single: 0, raid1: 1, raid1c3: 2, raid1c4: 3, raid10: 1 }

const participants = async (context: Context, options: UpOptions): Promise<readonly Member[]> => {
  const { members, vault, filesystem, mount } = context.profile
  const away = [...context.unreachable.entries()]
  if (away.length === 0 || (await mountAt(mount.at)) !== null)
    return members.filter((member) => !context.unreachable.has(member.name))
  const [[first, why] = ['', undefined]] = away
  const names = away.map(([name]) => name).join(', ')
  if (away.length > spare[filesystem.redundancy]) {
    throw (why ?? new Fault(Exit.unreachable, `${names} cannot be reached`)).with({
      member: first,
      stands: 'nothing was mounted',
      next: `cloudvault up ${vault}   when it answers again`,
    })
  }
  if (options.degraded === 'ro') return members.filter((member) => !context.unreachable.has(member.name))
  throw new Fault(
    Exit.decide,
    `${names} cannot be reached; the other copy is complete, but the choice is yours`,
    {
      detail: why?.message ?? '',
      stands: 'nothing was mounted',
      next: `cloudvault up ${vault}   when ${names} answers again, or cloudvault up ${vault} --degraded=ro   to read now`,
    },
  )
}

/** The passphrase is asked for only when a mapping is really to be opened: a second `up` asks nothing. */
const needsKey = async (
  steps: readonly { name: string; probe(): Promise<{ is: string }> }[],
): Promise<boolean> => {
  const opens = steps.filter((step) => step.name.startsWith('open '))
  const findings = await Promise.all(opens.map((step) => step.probe()))
  return findings.some((finding) => finding.is !== 'present')
}

const result = (
  world: World,
  context: Context,
  outcome: {
    members: readonly Member[]
    readOnly: boolean
    made: readonly string[]
  },
  json: boolean,
): void => {
  const { vault, mount, members } = context.profile
  const names = outcome.members.map((member) => member.name)
  if (json) {
    world.stdout.write(
      `${JSON.stringify({ schema: 'cloudvault.up/1', vault, mountedAt: mount.at, readOnly: outcome.readOnly, members: names, made: outcome.made })}\n`,
    )
    return
  }
  const how = outcome.readOnly ? ' read-only' : ''
  const without =
    names.length < members.length
      ? `, DEGRADED: ${[...context.unreachable.keys()].join(', ')} is missing`
      : ''
  world.stdout.write(
    `${vault} is ${outcome.made.length === 0 ? 'already up' : 'up'} at ${mount.at}${how} on ${names.join(', ')}${without}\n`,
  )
}
