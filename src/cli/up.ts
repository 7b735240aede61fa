import { climb } from '../engine/climb.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { memberId } from '../names.ts'
import { type Member, spareCopies } from '../profile/profile.ts'
import { type RecordData, readRecord } from '../record/record.ts'
import { findByBackend } from '../stack/attach/sysfs.ts'
import { checkHome } from '../stack/home.ts'
import { type Mounted, mountAt } from '../stack/mount.ts'
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
    const mounted = await mountAt(context.profile.mount.at)
    // Of a member that is left out nothing is needed.
    if (!mounted && options.degraded === undefined) await checkHome(context.vault)
    await context.connectAll()
    await context.adoptSessions('attached')
    const { members, readOnly, missing } = mounted
      ? await standing(context, mounted, options)
      : participants(context, options)
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
    await result(world, context, { members, readOnly, missing, made: climbed.made }, options.json === true)
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
        next: `cloudvault create ${vault}   (a new vault), cloudvault restore-kit KIT.tar   (its recovery kit), or cloudvault discover ${vault}`,
      })
}

/** Who takes part, and how. */
interface Part {
  readonly members: readonly Member[]
  readonly readOnly: boolean
  /** Names of members of the profile that are not in it. */
  readonly missing: readonly string[]
}

/** Of a vault that is mounted: what it was mounted with stays, whatever the flags say now. */
const standing = async (context: Context, mounted: Mounted, options: UpOptions): Promise<Part> => {
  const { members, vault } = context.profile
  const attached = await Promise.all(
    members.map(async (member) => (await findByBackend(memberId(vault, member.name))) !== null),
  )
  const missing = members.filter((_, index) => !attached[index]).map((member) => member.name)
  if (mounted.readOnly && !options.readOnly && options.degraded !== 'ro') {
    const how = missing.length > 0 ? ` without ${missing.join(', ')}` : ''
    throw new Fault(Exit.decide, `${vault} is mounted read-only${how}`, {
      stands: 'it stays as it is',
      next: `cloudvault down ${vault}, then cloudvault up ${vault}`,
    })
  }
  // A member that is attached and silent is the monitor's business; nothing can be asked of its server now.
  const reachable = members.filter(
    (member, index) => attached[index] && !context.unreachable.has(member.name),
  )
  return { members: reachable, readOnly: mounted.readOnly, missing }
}

const participants = (context: Context, options: UpOptions): Part => {
  const { members, vault, filesystem } = context.profile
  const away = [...context.unreachable.entries()]
  const missing = away.map(([name]) => name)
  const present = members.filter((member) => !missing.includes(member.name))
  if (away.length === 0) return { members, readOnly: options.readOnly === true, missing }
  const [[first, why] = ['', undefined]] = away
  const names = missing.join(', ')
  if (away.length > spareCopies[filesystem.redundancy]) {
    throw (why ?? new Fault(Exit.unreachable, `${names} cannot be reached`)).with({
      member: first,
      stands: 'nothing was mounted',
      next: `cloudvault up ${vault}   when it answers again`,
    })
  }
  if (options.degraded === 'ro') return { members: present, readOnly: true, missing }
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

const result = async (
  world: World,
  context: Context,
  outcome: Part & { readonly made: readonly string[] },
  json: boolean,
): Promise<void> => {
  const { vault, mount, members } = context.profile
  const { readOnly, missing, made } = outcome
  const names = members.map((member) => member.name).filter((name) => !missing.includes(name))
  const resilvering = (await readRecord(context.paths.record))?.resilver?.members ?? []
  if (json) {
    const shown = {
      schema: 'cloudvault.up/1',
      vault,
      mountedAt: mount.at,
      readOnly,
      members: names,
      made,
      resilvering,
    }
    world.stdout.write(`${JSON.stringify(shown)}\n`)
    return
  }
  const remarks = [
    `${vault} is ${made.length === 0 ? 'already up' : 'up'} at ${mount.at}${readOnly ? ' read-only' : ''} on ${names.join(', ')}`,
    ...(missing.length > 0 ? [`DEGRADED: ${missing.join(', ')} is missing`] : []),
    ...(resilvering.length > 0
      ? [`RESILVERING: ${resilvering.join(', ')} missed writes and is being made equal`]
      : []),
  ]
  world.stdout.write(`${remarks.join('\n')}\n`)
}
