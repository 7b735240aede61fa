import { climb } from '../engine/climb.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { systemdRuns } from '../host/systemd.ts'
import { unknownMembers, unnamedMembers } from '../record/job.ts'
import { type RecordData, readRecord } from '../record/record.ts'
import { checkHome } from '../stack/home.ts'
import { mountAt } from '../stack/mount.ts'
import { vaultSteps } from '../stack/order.ts'
import { jsonLine } from '../ui/json.ts'
import { tasks } from '../ui/tasks.ts'
import { inBackground } from './background.ts'
import { consent } from './consent.ts'
import { Context, requireRoot } from './context.ts'
import { checkFlags, type Part, participants, standing } from './participants.ts'
import { groupsOf, printPlan } from './plan.ts'
import type { World } from './world.ts'

/** `cloudvault up`: sessions, links, devices, encryption, filesystem, mount. A second `up` changes nothing. */

export interface UpOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
  readonly readOnly?: boolean
  readonly takeOver?: boolean
  /** Go on without members: only reading, or writing too. */
  readonly degraded?: 'ro' | 'rw'
  /** Members to leave out although they answer. */
  readonly without?: readonly string[]
  /** Mount although a member serves an older state than the others. */
  readonly allowStale?: boolean
  /** Mount although all of them do, and take that for the vault. */
  readonly acceptRollback?: boolean
  /** The vault's name, typed: the consent to a rollback that needs no terminal. */
  readonly confirm?: string
}

export const upVerb = async (world: World, name: string, options: UpOptions): Promise<ExitCode> => {
  requireRoot(world, 'up', name)
  const context = await Context.open(world, name, { change: true, goingUp: true })
  try {
    const record = createdRecord(context)
    checkFlags(context, options)
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
      acceptRollback: options.acceptRollback === true,
      watch: inBackground(world, ['monitor', context.profile.path]),
      takeDown: (await systemdRuns())
        ? inBackground(world, ['down', context.profile.path, '--stopping'])
        : null,
    })
    if (options.dryRun) {
      await printPlan(world, 'cloudvault.up/1', plan.steps, 'up', options.json === true)
      return Exit.ok
    }
    if (options.acceptRollback) await consent(world, context.profile.vault, options.confirm, giveUp)
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
  const { vault } = context.profile
  if (context.record?.phase === 'created') {
    const [unknown] = unknownMembers(context.written, context.record)
    if (unknown)
      throw new Fault(Exit.decide, `${unknown} is in the profile, but not in the vault`, {
        stands: 'nothing was contacted',
        next: `cloudvault add-mirror ${vault} --member ${unknown}   when the vault is up; until then take it out of ${context.profile.path}`,
      })
    const [unnamed] = unnamedMembers(context.written, context.record)
    if (unnamed)
      throw new Fault(Exit.decide, `${unnamed} is a member of the vault, but not in the profile any more`, {
        stands: 'nothing was contacted',
        next: `put it back into ${context.profile.path}; a member leaves by cloudvault remove-mirror or replace`,
      })
    return context.record
  }
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

/** The passphrase is asked for only when a mapping is really to be opened: a second `up` asks nothing. */
const needsKey = async (
  steps: readonly { name: string; probe(): Promise<{ is: string }> }[],
): Promise<boolean> => {
  const opens = steps.filter((step) => step.name.startsWith('open '))
  const findings = await Promise.all(opens.map((step) => step.probe()))
  return findings.some((finding) => finding.is !== 'present')
}

const giveUp =
  'If every server holds an older state than this machine has proved, what came after it is given up for good.'

const result = async (
  world: World,
  context: Context,
  outcome: Part & { readonly made: readonly string[] },
  json: boolean,
): Promise<void> => {
  const { vault, mount, members } = context.profile
  const { readOnly, missing, made } = outcome
  const names = members.map((member) => member.name).filter((name) => !missing.includes(name))
  const record = await readRecord(context.paths.record)
  const resilvering = (record?.resilver?.members ?? []).filter((member) => !missing.includes(member))
  const known = context.record?.rollbacks?.length ?? 0
  const rollback = record?.rollbacks?.[known]
  if (json) {
    const shown = {
      schema: 'cloudvault.up/1',
      vault,
      mountedAt: mount.at,
      readOnly,
      members: names,
      missing,
      made,
      resilvering,
      ...(rollback ? { rollback } : {}),
    }
    world.stdout.write(jsonLine(shown))
    return
  }
  const how = `${made.length === 0 ? 'already up' : 'up'} at ${mount.at}${readOnly ? ' read-only' : ''}`
  const remarks = [
    `${vault} is ${how} on ${names.join(', ')}`,
    ...(missing.length > 0
      ? [`DEGRADED: ${missing.join(', ')} is missing${degradedMeans(vault, readOnly)}`]
      : []),
    ...(rollback
      ? [
          `ROLLED BACK: generation ${rollback.to} is the vault now; what came up to ${rollback.from} is given up`,
        ]
      : []),
    ...(resilvering.length > 0
      ? [`RESILVERING: ${resilvering.join(', ')} missed writes and is being made equal`]
      : []),
  ]
  world.stdout.write(`${remarks.join('\n')}\n`)
}

/** What a person should know who goes on writing without a copy. */
const degradedMeans = (vault: string, readOnly: boolean): string =>
  readOnly
    ? ''
    : `; what is written now has fewer copies until it is back: then cloudvault down ${vault}, cloudvault up ${vault}`
