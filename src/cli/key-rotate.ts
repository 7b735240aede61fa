import { dirname } from 'node:path'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import type { Secret } from '../host/secret.ts'
import { listSlots, type Slot } from '../keyring/slots.ts'
import { updateRecord } from '../record/record.ts'
import { type Twin, twinOf } from '../record/rotation.ts'
import { readChunkTable } from '../stack/btrfs.ts'
import { keyringOf } from '../stack/home.ts'
import { noteKeyring, refuseOldKeyring } from '../stack/keyring-age.ts'
import { exchangeKeyring } from '../stack/rekey.ts'
import { jsonLine } from '../ui/json.ts'
import { bytes, duration } from '../ui/text.ts'
import { isDead, mayBegin, mustBeWhole } from './change/begin.ts'
import { carryOn } from './change/carry-on.ts'
import { HeldKey } from './change/held-key.ts'
import { newKit } from './change/kit.ts'
import { lineTimes, uplink } from './change/plan.ts'
import { deviceDisk } from './change/rotate.ts'
import { consent } from './consent.ts'
import { Context, requireRoot } from './context.ts'
import { existingPassphrase, usage } from './key-passphrase.ts'
import type { World } from './world.ts'

/**
 * `cloudvault key rotate --reencrypt`: a new vault key, and a new volume key for every member, while the vault is in use.
 * Each member in turn is replaced by a twin on a second disk of the same server, so that there is never a copy less.
 */

export interface RotateOptions {
  readonly json?: boolean
  readonly dryRun?: boolean
  readonly reencrypt?: boolean
  readonly passphrase?: string
  readonly confirm?: string
}

export const rotateKeys = async (world: World, name: string, options: RotateOptions): Promise<ExitCode> => {
  if (!options.reencrypt)
    throw usage(
      'new volume keys mean that everything is stored anew',
      `cloudvault key rotate ${name} --reencrypt   (or cloudvault key change ${name}: another passphrase, in a second)`,
    )
  requireRoot(world, 'key rotate', name)
  const held = new HeldKey()
  const context = await Context.open(world, name, { change: true, touched: true })
  try {
    await mayBegin(context)
    mustBeWhole(context)
    await refuseOldKeyring(context.vault)
    const slots = await listSlots(world.local, keyringOf(context.vault))
    const plan = await planRotation(context, await turnsOf(context), slots)
    if (options.dryRun) return printRotation(world, plan, options.json === true)
    if (!options.json) for (const line of rotationLines(plan)) world.stderr.write(`${line}\n`)
    await consent(world, context.profile.vault, options.confirm, consequence)
    held.keep(await newVaultKey(world, context, options))
    const left = plan.turns.map(({ member }) => member)
    const rotation = { left, done: [], since: new Date().toISOString() }
    await updateRecord(context.paths.record, (record) => ({ ...record, rotation }))
    await newKit(world, context)
  } catch (error) {
    held.wipe()
    throw error
  } finally {
    await context.close()
  }
  return carryOn(world, name, options.json === true, held)
}

/** Killed before the rotation is noted, nothing of it is under way, and what there is opens the vault as before. */
const newVaultKey = async (world: World, context: Context, options: RotateOptions): Promise<Secret> => {
  const passphrase = await existingPassphrase(world, context, options)
  try {
    const key = await exchangeKeyring(context.vault, passphrase, context.record?.keyring?.changes ?? 0)
    await noteKeyring(context.paths)
    return key
  } finally {
    passphrase.wipe()
  }
}

const consequence =
  'The old keys are destroyed at the end, and every slot of the keyring but the one of the passphrase you give.'

/** A member, and what it becomes. */
interface Turn {
  readonly member: string
  readonly becomes: string
  readonly twin: Twin
  readonly sizeBytes: number
}

/** @throws Fault 7 when a member cannot have its turn: it does not answer, or its server has no second disk */
const turnsOf = async (context: Context): Promise<Turn[]> => {
  const { written, record } = context
  const turns: Turn[] = []
  for (const member of written.members) {
    const { name, disk } = member
    if (await isDead(context, name)) throw silent(written.vault, name)
    const becomes = twinOf(written, member)
    if (becomes === null || disk.kind !== 'file') throw deviceDisk(written.vault, name)
    const sizeBytes = record?.members[name]?.sizeBytes ?? disk.sizeBytes
    turns.push({ member: name, becomes: becomes.name, twin: becomes.twin, sizeBytes })
  }
  return turns
}

const silent = (vault: string, member: string): Fault =>
  new Fault(Exit.decide, `${member} does not answer, or takes no part`, {
    member,
    stands: 'nothing was changed',
    next: `cloudvault status ${vault}; when all members are there: the same command`,
  })

interface RotationPlan {
  readonly vault: string
  readonly turns: readonly Turn[]
  /** Written over the lines, and read back to prove it. */
  readonly moveBytes: number
  readonly readBytes: number
  readonly rate: number
  readonly etaMs: number
  /** Slots that have to be made again. */
  readonly slots: readonly Slot[]
}

/** Every copy is read twice after each turn: once to mend what it lacks, once to prove that it lacks nothing. */
const proofs = 2

/** @throws Fault 4 when a server does not answer, 7 when one has no room for a second disk */
const planRotation = async (
  context: Context,
  turns: readonly Turn[],
  slots: readonly Slot[],
): Promise<RotationPlan> => {
  const { vault, profile, record } = context
  await context.connectAll()
  const [away] = context.unreachable.values()
  if (away) throw away.with({ stands: 'nothing was changed' })
  const rates: number[] = []
  for (const turn of turns) {
    const remote = vault.remote(turn.member)
    if (remote === null) throw new Error('connected, and no connection')
    const argv = ['df', '-B1', '--output=avail', '--', dirname(turn.twin.file)]
    const room = Number(/(\d+)\s*$/.exec((await remote.run({ argv })).stdout)?.[1] ?? Number.NaN)
    if (room < turn.sizeBytes) throw noRoom(profile.vault, turn, room)
    rates.push(await uplink([remote]))
  }
  const { diskBytes } = await readChunkTable(record?.fsid ?? '')
  const moveBytes = Math.round(diskBytes * lineTimes.replace)
  const readBytes = diskBytes * proofs * turns.length
  const rate = Math.min(...rates)
  // The copies of one proof are read side by side, each over its own line.
  const etaMs = Math.round(((moveBytes + readBytes / turns.length) / rate) * 1000)
  return { vault: profile.vault, turns, moveBytes, readBytes, rate, etaMs, slots }
}

const noRoom = (vault: string, { member, sizeBytes }: Turn, room: number): Fault =>
  new Fault(
    Exit.decide,
    `the server of ${member} has ${bytes(room)} free, and its second disk needs ${bytes(sizeBytes)} while both are there`,
    {
      member,
      stands: 'nothing was changed',
      next: `make room there, or cloudvault replace ${vault} ${member} --with name=…,ssh=…   (another server has another key, too)`,
    },
  )

const rotationLines = ({
  vault,
  turns,
  moveBytes,
  readBytes,
  rate,
  etaMs,
  slots,
}: RotationPlan): string[] => [
  `${vault}: a new vault key, and new volume keys for ${turns.map(({ member }) => member).join(', ')}, one after the other`,
  ...turns.map(
    ({ member, becomes, twin, sizeBytes }) =>
      `  ${member} becomes ${becomes}, on the same server: ${twin.file}, ${bytes(sizeBytes)} more while both are there${twin.port === undefined ? '' : `; its port becomes ${twin.port}, which the provider must let in`}`,
  ),
  `  moves       ${bytes(moveBytes)} in all, at ${bytes(rate)}/s (measured just now); ${bytes(readBytes)} are read to prove it`,
  `  takes       about ${duration(etaMs)}; the vault stays in use`,
  '  meanwhile   as many members may be lost as now; a kill, a reboot or an outage only delays it',
  ...slots
    .filter(({ kind }) => kind !== 'passphrase' || slots.length > 1)
    .map(
      ({ number, kind }) =>
        `  slot ${number}      ${kind}: gone then, unless the passphrase you give is its own; make it again`,
    ),
]

const printRotation = (world: World, plan: RotationPlan, json: boolean): ExitCode => {
  const { turns, slots, ...numbers } = plan
  const members = turns.map(({ twin: { of: _, ...where }, ...turn }) => ({ ...turn, ...where }))
  if (json)
    world.stdout.write(
      jsonLine({ schema: 'cloudvault.key-rotate/1', dryRun: true, ...numbers, members, slots }),
    )
  else world.stdout.write(`${rotationLines(plan).join('\n')}\nnothing was changed (dry run)\n`)
  return Exit.ok
}
