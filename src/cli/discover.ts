import { copyFile } from 'node:fs/promises'
import { climb } from '../engine/climb.ts'
import type { Observer } from '../engine/events.ts'
import type { Step } from '../engine/step.ts'
import { unwind } from '../engine/unwind.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { type RecordData, withStale, writeRecord } from '../record/record.ts'
import { checkHome } from '../stack/home.ts'
import { type Identity, identify } from '../stack/identify.ts'
import { kernel } from '../stack/kernel.ts'
import { openLuks } from '../stack/luks.ts'
import { mountAt } from '../stack/mount.ts'
import { memberStack } from '../stack/order.ts'
import { jsonLine } from '../ui/json.ts'
import { tasks } from '../ui/tasks.ts'
import { consent } from './consent.ts'
import { Context, requireRoot } from './context.ts'
import { groupsOf, printPlan } from './plan.ts'
import type { World } from './world.ts'

/**
 * `cloudvault discover`: a lost record made anew from the headers at home and what the servers hold. It reads and never
 * writes to a member. What only the lost record knew, whether these are the newest states, nobody can know any more.
 */

export interface DiscoverOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
  readonly takeOver?: boolean
  /** The vault's name, typed. */
  readonly confirm?: string
}

/** @throws Fault 2 not confirmed, 3 keyring or header missing, 4 a member does not answer, 5 they disagree, 7 mounted */
export const discoverVerb = async (
  world: World,
  name: string,
  options: DiscoverOptions,
): Promise<ExitCode> => {
  requireRoot(world, 'discover', name)
  const context = await Context.open(world, name, { change: true, goingUp: true, rebuild: true })
  try {
    const { vault } = context.profile
    if (context.record?.phase === 'created') {
      if (options.json) say(world, { schema, vault, found: false })
      else world.stdout.write(`this machine has a record of ${vault}; there is nothing to discover\n`)
      return Exit.ok
    }
    await refuseUnfit(context)
    await context.connectAll()
    refuseIncomplete(context)
    const steps = discoverSteps(context, options.takeOver === true)
    if (options.dryRun) {
      await printPlan(world, schema, steps, 'up', options.json === true)
      return Exit.ok
    }
    await context.saveFacts()
    await context.unlock()
    const found = await look(world, context, steps, options.json === true)
    if (!options.json) world.stdout.write(`${findings(found).join('\n')}\n`)
    await consent(world, vault, options.confirm, 'From now on this will count as the newest state.')
    await write(context, found)
    if (options.json) say(world, { schema, vault, found: true, ...found })
    else world.stdout.write(`${context.paths.record} is written\nnext: cloudvault up ${vault}\n`)
    return Exit.ok
  } finally {
    await context.close()
  }
}

const schema = 'cloudvault.discover/1'

const say = (world: World, shown: object): void => void world.stdout.write(jsonLine(shown))

const refuseUnfit = async (context: Context): Promise<void> => {
  const { vault, mount } = context.profile
  if (context.record)
    throw new Fault(Exit.decide, `creating ${vault} was not finished`, {
      stands: 'nothing was changed',
      next: `cloudvault create ${vault}`,
    })
  if ((await mountAt(mount.at)) !== null)
    throw new Fault(Exit.decide, `${vault} is mounted`, {
      stands: 'it stays as it is',
      next: `cloudvault down ${vault}, then cloudvault discover ${vault}`,
    })
  await checkHome(context.vault)
}

/** A record of some members would let the others be old copies for ever. */
const refuseIncomplete = ({ unreachable, profile }: Context): void => {
  const [first] = unreachable
  if (first === undefined) return
  const [, why] = first
  throw new Fault(
    Exit.unreachable,
    `${[...unreachable.keys()].join(', ')} cannot be reached, and all members are needed`,
    {
      detail: why.message,
      stands: 'nothing was changed',
      next: `cloudvault discover ${profile.vault}   (when all servers answer)`,
    },
  )
}

/** As far up as to the opened devices, which are opened for reading only. */
const discoverSteps = (context: Context, takeOver: boolean): Step[] => {
  const { profile, vault, supervisor } = context
  const stacks = profile.members.map((member) => memberStack(vault, member, [], { supervisor, takeOver }))
  const opens = stacks.map((stack) => openLuks(vault, stack.member.name, [stack.top], { readOnly: true }))
  return [kernel(vault.local), ...stacks.flatMap((stack) => stack.steps), ...opens]
}

/** Up, read, and down again, whatever was read. */
const look = (world: World, context: Context, steps: readonly Step[], json: boolean): Promise<Identity> => {
  const { profile, receipt, vault } = context
  const names = profile.members.map((member) => member.name)
  const run = (observe: Observer) => ({
    receipt,
    signal: world.signal,
    perform: world.perform,
    observe,
  })
  return tasks(
    world,
    `discover ${profile.vault}`,
    groupsOf(profile.vault, names, steps),
    async (observe) => {
      await climb(steps, run(observe))
      const outcome = await identify(vault).catch((error: Error) => error)
      const left = await unwind(steps, run(observe), () => true)
      if (outcome instanceof Error) throw outcome
      if (left.failures[0]) throw left.failures[0].error
      return outcome
    },
    { json },
  )
}

const findings = ({ fsid, members, generation }: Identity): string[] => [
  `filesystem ${fsid}`,
  ...Object.entries(members).map(
    ([name, member]) =>
      `${name} is device ${member.devid} with generation ${member.generation}` +
      (member.generation < generation ? `, ${generation - member.generation} behind` : ''),
  ),
  'What cannot be known: whether this is the newest state. Only the lost record could tell if all servers serve old copies.',
]

/** A copy that is behind is mended by the next `up`. */
const write = async (context: Context, found: Identity): Promise<void> => {
  const { paths, profile } = context
  const now = new Date().toISOString()
  const record: RecordData = {
    schema: 'cloudvault.record/1',
    vault: profile.vault,
    phase: 'created',
    createdAt: now,
    ...found,
    provedAt: now,
  }
  const behind = Object.entries(found.members).filter(([, member]) => member.generation < found.generation)
  await copyFile(paths.record, `${paths.record}.damaged`).catch(() => {}) // there may be none at all
  await writeRecord(
    paths.record,
    withStale(
      record,
      behind.map(([name]) => name),
    ),
  )
}
