import type { Step } from '../engine/step.ts'
import { type Unwound, unwind } from '../engine/unwind.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { systemdRuns } from '../host/systemd.ts'
import { memberId, parkUnit } from '../names.ts'
import { readRecord } from '../record/record.ts'
import { findByBackend } from '../stack/attach/sysfs.ts'
import { restUntilBoot } from '../stack/boot.ts'
import { emptyRecord } from '../stack/format.ts'
import { mountAt } from '../stack/mount.ts'
import { vaultSteps } from '../stack/order.ts'
import { clearForShutdown } from '../stack/stopping.ts'
import { jsonLine } from '../ui/json.ts'
import { report } from '../ui/report.ts'
import { tasks } from '../ui/tasks.ts'
import { Context, requireRoot } from './context.ts'
import { endPrograms } from './down-kill.ts'
import { refuseInReplace } from './down-replace.ts'
import { groupsOf, printPlan } from './plan.ts'
import type { World } from './world.ts'

export interface DownOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
  /** End the programs that use the vault, after asking. */
  readonly kill?: boolean
  /** The vault's name: consent without a question. */
  readonly confirm?: string
  /** Said by the keeper's unit: nobody can be asked, and when the machine goes down every program ends anyway. */
  readonly stopping?: boolean
}

/** An `up` or a scrub that was told to end finishes its running command first. */
const lockPatience = 120_000
/** How often a vault that turns out to be busy is cleared again while the machine goes down. */
const shutdownTries = 5

/**
 * `cloudvault down`: the way back, and it returns only when every member provably has everything. It works from names
 * alone, so it needs no receipt and finishes what a killed `up` began.
 */
export const downVerb = async (world: World, name: string, options: DownOptions): Promise<ExitCode> => {
  requireRoot(world, 'down', name)
  const context = await Context.open(world, name, {
    goingDown: true,
    change: true,
    touched: true,
    ...(options.stopping ? { waitMs: lockPatience } : {}),
  })
  try {
    if (options.stopping) await clearVault(world, context)
    await context.adoptSessions('all')
    const { steps, writes, took } = await planDown(context)
    if (options.dryRun) {
      await printPlan(world, 'cloudvault.down/1', steps, 'down', options.json === true)
      return Exit.ok
    }
    if (!options.stopping) await refuseInReplace(context)
    if (options.kill) await endPrograms(world, context, options.confirm)
    const lower = (): Promise<Unwound> => lowerAll(world, context, steps, options.json === true)
    let left = await lower()
    // A program that nobody saw between two of its files has begun another one: seen now, it is ended.
    for (let again = 0; options.stopping && again < shutdownTries && left.failures.some(isBusy); again++) {
      await clearVault(world, context)
      left = await lower()
    }
    const unreleased = left.failures.filter(isUnreleased)
    if (left.failures.length > unreleased.length) throw failed(context, left)
    if (left.interrupted) throw interrupted(context, left)
    const again = (await systemdRuns()) && (await restUntilBoot(world.local, context.profile.vault))
    const exit = await tell(world, context, left.undone, writes ? took : null, options.json === true)
    if (again && !options.json && !options.stopping) {
      const { vault } = context.profile
      world.stdout.write(`it comes up again at the next boot   (cloudvault disable ${vault}: no more)\n`)
    }
    for (const { error } of unreleased) report(world, error, { json: false })
    return exit === Exit.ok && unreleased.length > 0 ? Exit.unreachable : exit
  } finally {
    await context.close()
  }
}

const clearVault = (world: World, context: Context): Promise<void> =>
  clearForShutdown(world.local, context.profile.mount.at, (line) => world.stderr.write(`${line}\n`))

const lowerAll = (
  world: World,
  context: Context,
  steps: readonly Step[],
  json: boolean,
): Promise<Unwound> => {
  const { profile, receipt } = context
  const names = profile.members.map((member) => member.name)
  const ours = (step: Step): boolean => !step.shared || receipt.state(step.name) !== null
  return tasks(
    world,
    `down ${profile.vault}`,
    groupsOf(profile.vault, names, steps.filter(ours)),
    (observe) => unwind(steps, { receipt, perform: world.perform, observe }, ours, world.signal),
    { json, direction: 'down' },
  )
}

const isBusy = ({ error }: Unwound['failures'][number]): boolean =>
  error instanceof Fault && error.exit === Exit.busy

/** The same steps as `up` has, for the members that take part now. */
const planDown = async (context: Context) => {
  const { profile, vault, supervisor } = context
  const mounted = await mountAt(profile.mount.at)
  const attached = await Promise.all(
    profile.members.map(
      async (member) => (await findByBackend(memberId(profile.vault, member.name))) !== null,
    ),
  )
  const some = profile.members.filter((_, index) => attached[index])
  for (const { name } of profile.members)
    if ((await supervisor.probe(parkUnit(profile.vault, name))).is === 'present') context.silent.add(name)
  const members =
    some.length > 0
      ? profile.members.filter(
          (member) => some.includes(member) || context.receipt.state(`session ${member.name}`),
        )
      : profile.members.filter(
          ({ name }) =>
            context.record?.members[name] !== undefined || context.receipt.state(`session ${name}`) !== null,
        )
  // What is not mounted any more was opened as the record says.
  const readOnly =
    context.record?.phase !== 'created' ||
    (mounted ? mounted.readOnly && !mounted.forced : context.record.open?.readOnly === true)
  const record = context.record ?? emptyRecord(profile.vault)
  const { steps } = vaultSteps(vault, record, {
    supervisor,
    members,
    takeOver: false,
    readOnly,
    allowStale: true,
    watch: [],
    takeDown: (await systemdRuns()) ? [] : null,
  })
  return { steps, writes: !readOnly, took: members.map((member) => member.name) }
}

/**
 * A silent server cannot be told that the session is over. Nothing here depends on it: the lease there stays in our
 * name, and the next `up` of this machine takes it anew.
 */
const isUnreleased = (failure: Unwound['failures'][number]): boolean =>
  failure.step.startsWith('session ') &&
  failure.error instanceof Fault &&
  failure.error.exit === Exit.unreachable

const interrupted = (context: Context, left: Unwound): Fault =>
  new Fault(Exit.interrupted, 'interrupted; no further step was undone', {
    stands: standing(left),
    next: `cloudvault down ${context.profile.vault}   (goes on from here${orUp(context, left)})`,
  })

/** The monitor went first; what stays mounted then is watched by nobody. */
const isUnwatched = ({ undone, standing }: Unwound): boolean =>
  undone.includes('monitor') && standing.includes('mount')

const standing = (left: Unwound): string =>
  `still standing: ${left.standing.join(', ')}${isUnwatched(left) ? '; it is mounted, and no monitor watches it' : ''}`

const orUp = ({ profile }: Context, left: Unwound): string =>
  isUnwatched(left) ? `; cloudvault up ${profile.vault} keeps it instead, and starts the monitor again` : ''

const failed = (context: Context, left: Unwound): Fault => {
  const first = left.failures.find((failure) => !isUnreleased(failure))
  if (!(first?.error instanceof Fault)) throw first?.error
  return first.error.with({
    stands: standing(left),
    next: `cloudvault down ${context.profile.vault}   (when the cause is gone${orUp(context, left)})`,
  })
}

/**
 * @param took who took part in what was written; null when nothing was
 * @returns 7 when a member lacks the last state: the vault is down, but not as redundant as it should be; 4 when no
 * server answered at the end, so that nothing is proved
 */
const tell = async (
  world: World,
  context: Context,
  undone: readonly string[],
  took: readonly string[] | null,
  json: boolean,
): Promise<ExitCode> => {
  const { vault } = context.profile
  const record = await readRecord(context.paths.record)
  const written = took && undone.includes('assemble') ? record : null
  const unproved = written?.open !== undefined
  const proved = unproved ? null : written
  const members = Object.entries(proved?.members ?? {}).map(([name, { generation }]) => ({
    name,
    generation,
    behind: (proved?.generation ?? 0) - generation,
  }))
  const lagging = members.filter((member) => member.behind > 0)
  if (json) {
    const shown = { schema: 'cloudvault.down/1', vault, undone, proved: proved ? members : null, unproved }
    world.stdout.write(jsonLine(shown))
  } else if (undone.length === 0) world.stdout.write(`${vault} is already down\n`)
  else if (unproved) world.stdout.write(`${unprovedLines(vault).join('\n')}\n`)
  else
    world.stdout.write(
      `${[...members.map((member) => holding(member, took ?? [])), lastLine(vault, proved !== null, lagging)].join('\n')}\n`,
    )
  if (unproved) return Exit.unreachable
  return lagging.length > 0 ? Exit.decide : Exit.ok
}

interface Holding {
  readonly name: string
  readonly generation: number
  readonly behind: number
}

const holding = ({ name, generation, behind }: Holding, took: readonly string[]): string =>
  behind > 0
    ? `${name} ${took.includes(name) ? 'did not answer' : 'took no part'}: it holds generation ${generation}, ${behind} behind`
    : `${name} holds generation ${generation}, read back from its server`

const unprovedLines = (vault: string): string[] => [
  `${vault} is down, and nothing is proved: no server answered any more`,
  'what was fsynced while they still answered is on them; what was not is lost',
  `next: cloudvault up ${vault}   when they answer again`,
]

const lastLine = (vault: string, proved: boolean, lagging: readonly Holding[]): string => {
  if (!proved) return `${vault} is down`
  if (lagging.length === 0) return `${vault} is down; everything that was written is on every server`
  const names = lagging.map(({ name }) => name).join(', ')
  return `${vault} is down; everything that was written is on the other servers, ${names} lacks the last of it`
}
