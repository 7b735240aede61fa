import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { perform } from '../engine/action.ts'
import { climb, standing } from '../engine/climb.ts'
import type { Observer } from '../engine/events.ts'
import type { Step } from '../engine/step.ts'
import { type Unwound, unwind } from '../engine/unwind.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import type { Secret } from '../host/secret.ts'
import { passphraseFrom } from '../keyring/passphrase.ts'
import { readRecord } from '../record/record.ts'
import { emptyRecord, formatSteps } from '../stack/format.ts'
import { vaultSteps } from '../stack/order.ts'
import { newPassword } from '../ui/ask.ts'
import { jsonLine } from '../ui/json.ts'
import { tasks } from '../ui/tasks.ts'
import { writeKit } from '../vault/kit.ts'
import { consent } from './consent.ts'
import { Context, requireRoot } from './context.ts'
import { keepItElsewhere } from './kit.ts'
import { groupsOf, printPlan } from './plan.ts'
import type { World } from './world.ts'

/**
 * `cloudvault create`: the only verb that formats. Keyring, headers, encryption, filesystem, record, recovery kit.
 * A disk that is not blank is refused; a create that was cut off may be begun again, a finished one never.
 */

export interface CreateOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
  /** The vault's name, typed: the consent that needs no terminal. */
  readonly confirm?: string
  /** Directory for the recovery kit. */
  readonly kit?: string
}

/** A keyring of 4 MiB, 2 MiB for each of a few headers, and the kit that holds them all once more. */
const createRoom = 32 * 1024 * 1024

export const createVerb = async (world: World, name: string, options: CreateOptions): Promise<ExitCode> => {
  requireRoot(world, 'create', name)
  const kitFolder = options.kit === undefined ? undefined : resolve(options.kit)
  const context = await Context.open(world, name, { change: true, goingUp: true, room: createRoom })
  try {
    const finishing = lacksKit(context)
    if (!finishing) await refuseExisting(context)
    await context.connectAll()
    const [away] = context.unreachable.values()
    if (away) throw away.with({ stands: 'nothing was changed' })
    if (finishing && !options.dryRun) {
      await context.adoptSessions('every')
      await takeDown(world, context, 'all')
      return await finish(world, context, kitFolder, options.json === true)
    }
    let passphrase: Promise<Secret> | undefined
    const formatting = finishing
      ? []
      : formatSteps(context.vault, context.supervisor, context.record, {
          passphrase: () => (passphrase ??= newPassphrase(world, context)),
          opened: (key) => context.holdKey(key),
        })
    if (options.dryRun) {
      await printPlan(world, 'cloudvault.create/1', formatting, 'up', options.json === true)
      return Exit.ok
    }
    const { vault, members } = context.profile
    const disks = members.map((member) => member.name).join(' and ')
    await consent(world, vault, options.confirm, `The disks of ${disks} will be formatted.`)
    passphrase = newPassphrase(world, context)
    const secret = await passphrase // asked before the first row is drawn
    try {
      await context.saveFacts()
      await build(world, context, formatting, options.json === true)
    } finally {
      secret.wipe()
    }
    return await finish(world, context, kitFolder, options.json === true)
  } finally {
    await context.close()
  }
}

const finish = async (
  world: World,
  context: Context,
  kitFolder: string | undefined,
  json: boolean,
): Promise<ExitCode> => {
  // Before the kit: with one the vault is finished, and no later create would come to strike these out.
  await forgetFormatting(context)
  const kit = await writeKit(context.vault, kitFolder ?? context.paths.state)
  tell(world, context, kit, json)
  return Exit.ok
}

/** What is formatted has no way down: a finished vault keeps it, and what an unfinished one left is made anew. */
const forgetFormatting = async ({ profile, receipt }: Context): Promise<void> => {
  const headers = profile.members.map(({ name }) => `header ${name}`)
  for (const step of ['blank disks', 'keyring', 'filesystem', ...headers]) await receipt.forget(step)
}

/** An earlier create was cut off between the proof and the kit: the vault is whole, and down or about to be. */
const lacksKit = ({ record }: Context): boolean =>
  record?.phase === 'created' && record.kit === undefined && record.open === undefined

/**
 * What a create that was cut off left standing. Its mappings must go before anything is formatted anew: they were
 * opened with keys of headers that are about to be replaced, and a filesystem made on them would never open again.
 * @param which `opened`: from the mappings up; links and devices are used again
 */
const takeDown = async (world: World, context: Context, which: 'opened' | 'all'): Promise<void> => {
  const { profile, receipt, vault, supervisor, record } = context
  const steps = vaultSteps(vault, record ?? emptyRecord(profile.vault), {
    supervisor,
    members: profile.members,
    takeOver: false,
    readOnly: true, // nothing is proved
    allowStale: false,
    watch: null,
    takeDown: null,
  }).steps.filter((step) => which === 'all' || !/^(kernel|session|link|attach)\b/.test(step.name))
  const ours = (step: Step): boolean => !step.shared || receipt.state(step.name) !== null
  const left = await unwind(steps, { receipt, perform: world.perform, observe: () => {} }, ours)
  if (left.failures[0]) throw unfinished(profile.vault, left.failures[0].error, left)
}

/** Also the keys of a vault whose record was lost: they would be made anew, and with them gone, it would be gone. */
const refuseExisting = async (context: Context): Promise<void> => {
  const { record, paths, profile } = context
  if (record?.phase === 'creating') return
  if (record === null) {
    const files = [paths.keyring, ...profile.members.map((member) => paths.header(member.name))]
    const left = (await Promise.all(files.map(there))).includes(true)
    if (!left) return
    throw new Fault(Exit.decide, `the keys of a vault ${profile.vault} are here, but no record of it`, {
      stands: 'nothing was contacted or changed',
      next: `cloudvault discover ${profile.vault}   (when its record was lost), or mv ${paths.state} ${paths.state}.old   (when it may be)`,
    })
  }
  throw new Fault(Exit.decide, `${profile.vault} exists since ${record.createdAt}`, {
    stands: 'nothing was contacted or changed',
    next: `cloudvault up ${profile.vault}`,
  })
}

const there = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** A new passphrase is typed twice; any other source is asked as every `up` will ask it. */
const newPassphrase = (world: World, context: Context): Promise<Secret> => {
  const { unlock, vault } = context.profile
  return passphraseFrom(unlock.passphrase, world, () =>
    newPassword(world, {
      message: `A passphrase for ${vault} (whoever loses it loses the vault):`,
      flag: 'another passphrase source in the profile (file, command or credential)',
      minimum: 8,
    }),
  )
}

/** Format, mount once to give the top directory to its owner, and take everything down again with proof. */
const build = async (
  world: World,
  context: Context,
  formatting: readonly Step[],
  json: boolean,
): Promise<void> => {
  const { profile, receipt, vault, supervisor } = context
  const names = profile.members.map((member) => member.name)
  const shown = [...formatting, ...['mount point', 'assemble', 'mount'].map((name) => ({ name }))]
  const run = (observe: Observer) => ({ receipt, signal: world.signal, perform: world.perform, observe })
  await tasks(
    world,
    `create ${profile.vault}`,
    groupsOf(profile.vault, names, shown),
    async (observe) => {
      await takeDown(world, context, 'opened')
      await climb(formatting, run(observe))
      const record = await readRecord(context.paths.record)
      if (!record) throw new Fault(Exit.missing, `the record ${context.paths.record} vanished`)
      const options = {
        supervisor,
        members: profile.members,
        takeOver: false,
        readOnly: false,
        allowStale: false,
        watch: null,
        takeDown: null,
      }
      const { steps } = vaultSteps(vault, record, options)
      const outcome = await climb(steps, run(observe))
        .then(() => giveToOwner(context))
        .catch((error: unknown) => error)
      const left = await unwind(steps, run(observe), () => true)
      const failure = outcome ?? left.failures[0]?.error
      if (failure) {
        await forgetFormatting(context)
        throw left.standing.length > 0 ? unfinished(profile.vault, failure, left) : failure
      }
    },
    { json },
  )
}

/** The vault could not be taken down again: nothing is pulled from under it, and the next create goes on. */
const unfinished = (vault: string, failure: unknown, left: Unwound): unknown =>
  failure instanceof Fault
    ? failure.with({
        stands: standing(left),
        next: `cloudvault create ${vault}   (takes down what stands, and goes on)`,
      })
    : failure

const giveToOwner = async (context: Context): Promise<void> => {
  const { at, owner } = context.profile.mount
  if (!owner) return
  await perform({ on: context.vault.local, command: { argv: ['chown', '--', owner, at] } })
}

const tell = (world: World, context: Context, kit: string, json: boolean): void => {
  const { vault } = context.profile
  if (json) {
    world.stdout.write(jsonLine({ schema: 'cloudvault.create/1', vault, kit }))
    return
  }
  world.stdout.write(`${vault} is created and down.\n`)
  world.stdout.write(`recovery kit: ${kit}\n${keepItElsewhere}`)
  world.stdout.write(`next: cloudvault up ${vault}\n`)
}
