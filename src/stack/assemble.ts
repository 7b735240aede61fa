import { randomBytes } from 'node:crypto'
import type { Step } from '../engine/step.ts'
import { together } from '../engine/together.ts'
import { Exit, Fault } from '../fault.ts'
import { mapperPath } from '../names.ts'
import { spareCopies } from '../profile/profile.ts'
import { carriers, type Held, type KnownEpoch, learned, parseLabel } from '../record/epoch.ts'
import {
  type RecordData,
  readRecord,
  updateRecord,
  wasCut,
  withStale,
  writeRecord,
} from '../record/record.ts'
import { checkIdentities, readSuperblock, type Superblock } from './btrfs.ts'
import { type Compared, compare, freshness } from './compare.ts'
import { changesOf } from './keyring-age.ts'
import { settleNewcomer } from './newcomer.ts'
import { diverged, lacks, oldCopy, rolledBack, stranger } from './refuse.ts'
import { allParked, type Silence } from './silence.ts'
import type { Vault } from './vault.ts'

/**
 * Between the opened members and the mount: on the way up it asks whether these are the members of this vault and
 * whether they are as new as they were at the last proof; on the way down it reads every superblock back from its
 * server, and equal generations are the proof that every mirror has everything.
 */

export interface AssembleOptions {
  readonly record: RecordData
  /** Members that take part; fewer than all only when degraded was permitted. */
  readonly members: readonly string[]
  /** Mounted read-only: nothing is written, so nothing is proved. */
  readonly readOnly: boolean
  /** The session was taken from another machine, which may have been cut off in the middle of a commit. */
  readonly takeOver: boolean
  /** Mount although one member serves an older state than the others. */
  readonly allowStale: boolean
  /** Mount although all of them do, and take that state for the vault. */
  readonly acceptRollback: boolean
  /** To tell, on the way down, a server that is silent for good from one that may still answer. */
  readonly silence: Silence
  readonly needs: readonly string[]
}

export const assemble = (vault: Vault, options: AssembleOptions): Step => {
  const devices = options.members.map((member) => mapperPath(vault.profile.vault, member)).join(' ')
  return {
    name: 'assemble',
    needs: options.needs,
    probe: async () => {
      const record = await readRecord(vault.paths.record)
      return record?.open?.bootId === vault.bootId ? { is: 'present' } : { is: 'absent' }
    },
    up: [
      {
        on: vault.local,
        text: `btrfs inspect-internal dump-super ${devices}: same filesystem, generation ${options.record.generation} or later`,
        call: () => checkMembers(vault, options),
      },
      {
        on: vault.local,
        text: `write ${vault.paths.record}: open`,
        call: () => markOpen(vault, options),
      },
    ],
    down: [
      {
        on: vault.local,
        text: `read the superblock of ${devices} back from the servers; equal generations are the proof`,
        call: () => prove(vault, options),
      },
    ],
  }
}

const checkMembers = async (vault: Vault, options: AssembleOptions): Promise<void> => {
  const { record } = options
  const { vault: name } = vault.profile
  const found = heldBy(name, await superblocks(vault, options, false))
  const away = awayOf(vault, options)
  const state = compare(found, record, {
    spare: spareCopies[vault.profile.filesystem.assured],
    takenOver: options.takeOver,
  })
  if (state.is === 'split') throw diverged(name, found, state.why)
  if (state.rolledBack && !options.acceptRollback) throw rolledBack(name, record, state)
  const here = options.members.join(', ')
  if (!options.readOnly && state.stranger) throw stranger(name, here, state)
  if (!options.readOnly && state.lacking !== null) throw lacks(name, here, away.join(', '), state.lacking)
  const allowed = options.allowStale || state.rolledBack
  if (state.surprising.length > 0 && !allowed) throw oldCopy(name, state)
  // A part of the vault says nothing about the rest, and reading an old state does not make it the vault.
  if (options.readOnly && (away.length > 0 || state.rolledBack)) return
  await settleNewcomer(vault, record)
  await updateRecord(vault.paths.record, (now) => noted(now, options, found, state, away))
}

/** What is known after the look, on disk before the mount: whoever is away misses what is written from now on. */
const noted = (
  now: RecordData,
  options: AssembleOptions,
  found: Readonly<Record<string, Held>>,
  state: Compared & { is: 'one state' },
  away: readonly string[],
): RecordData => {
  const accepted = state.rolledBack ? withLowerPins(now, found, state.generation) : now
  const epochs = learned(now.epochs ?? [], state.epoch, state.gone, carriers(found, state.epoch))
  const begun = away.length > 0 ? [intended(epochs, state.generation, options.members)] : []
  return {
    ...withStale(accepted, [...state.stale, ...away]),
    ...(epochs.length + begun.length > 0 || now.epochs ? { epochs: [...epochs, ...begun] } : {}),
  }
}

const intended = (epochs: readonly KnownEpoch[], from: number, members: readonly string[]): KnownEpoch => ({
  n: Math.max(0, ...epochs.map((epoch) => epoch.n)) + 1,
  from,
  id: randomBytes(4).toString('hex'),
  members,
})

/** The old state becomes the vault: its generations are the pins now, and the record says since when. */
const withLowerPins = (
  record: RecordData,
  found: Readonly<Record<string, Held>>,
  generation: number,
): RecordData => ({
  ...record,
  generation: Math.min(record.generation, generation),
  members: Object.fromEntries(
    Object.entries(record.members).map(([name, member]) => [
      name,
      { ...member, generation: Math.min(member.generation, found[name]?.generation ?? member.generation) },
    ]),
  ),
  rollbacks: [
    ...(record.rollbacks ?? []),
    { at: new Date().toISOString(), from: record.generation, to: generation },
  ],
})

const awayOf = (vault: Vault, options: AssembleOptions): string[] =>
  vault.profile.members
    .map((member) => member.name)
    .filter((name) => !options.members.includes(name))
    .filter((name) => options.record.members[name] !== undefined)

const heldBy = (
  vault: string,
  blocks: Readonly<Record<string, Superblock>>,
): Readonly<Record<string, Held>> =>
  Object.fromEntries(
    Object.entries(blocks).map(([member, { generation, label }]) => [
      member,
      { generation, epoch: parseLabel(vault, label) },
    ]),
  )

const superblocks = async (
  vault: Vault,
  options: AssembleOptions,
  fresh: boolean,
): Promise<Readonly<Record<string, Superblock>>> => {
  const found = await together(
    options.members.map(async (member) => {
      if (!options.record.members[member])
        throw new Fault(Exit.trust, `${member} is not a member of this vault's record`, { member })
      const block = await readSuperblock(vault.local, mapperPath(vault.profile.vault, member), fresh)
      return [member, block] as const
    }),
  )
  checkIdentities(Object.fromEntries(found), options.record)
  return Object.fromEntries(found) as Record<string, Superblock>
}

/**
 * Written before the mount: after a crash we know that newer generations than the pinned ones are our own. Reading only
 * proves nothing, so a state that an earlier crash left behind stays marked as such.
 */
const markOpen = async (vault: Vault, { readOnly }: AssembleOptions): Promise<void> => {
  const changes = await changesOf(vault.paths.keyring)
  await updateRecord(vault.paths.record, (record) => ({
    ...record,
    keyring: { changes },
    open: {
      bootId: vault.bootId,
      since: new Date().toISOString(),
      ...(readOnly ? { readOnly } : {}),
      ...(readOnly && wasCut(record) ? { crashed: true as const } : {}),
    },
  }))
}

/**
 * Pins what every member provably holds. Members whose server does not answer any more are pinned with what they had:
 * the next `up` knows that they are behind. Not a single answer, or members that disagree, is no proof at all.
 * @throws Fault 4 when no server answers although one might, 7 when they hold different states
 */
const prove = async (vault: Vault, options: AssembleOptions): Promise<void> => {
  const record = await readRecord(vault.paths.record)
  if (!record) throw new Fault(Exit.missing, `the record ${vault.paths.record} vanished`)
  const { open, ...closed } = record
  if (options.readOnly) {
    const cut = open?.crashed ? { open: { bootId: '', since: open.since } } : {}
    return writeRecord(vault.paths.record, { ...closed, ...cut })
  }
  const { answered, silent } = await readBack(vault, options)
  const [failure] = silent.values()
  if (Object.keys(answered).length === 0) {
    // All are parked: nothing is proved, and the next up looks at everything as after a crash.
    if (await allParked(options.silence)) {
      const since = open?.since ?? new Date().toISOString()
      return writeRecord(vault.paths.record, { ...closed, open: { bootId: '', since } })
    }
    throw failure ?? new Fault(Exit.unreachable, 'no member answers')
  }
  const verdict = freshness(answered, record.generation)
  if (verdict.is !== 'fresh') throw disagreement(vault, answered)
  const members = Object.entries(record.members).map(
    ([name, member]) => [name, { ...member, generation: answered[name] ?? member.generation }] as const,
  )
  await writeRecord(vault.paths.record, {
    ...closed,
    phase: 'created',
    members: Object.fromEntries(members),
    generation: verdict.generation,
    provedAt: new Date().toISOString(),
  })
}

/** The generation each server gives back, and why the others gave none. */
const readBack = async (vault: Vault, options: AssembleOptions) => {
  const answered: Record<string, number> = {}
  const silent = new Map<string, Error>()
  await together(
    options.members.map(async (member) => {
      try {
        const found = await superblocks(vault, { ...options, members: [member] }, true)
        answered[member] = found[member]?.generation ?? 0
      } catch (error) {
        if (!(error instanceof Fault) || error.exit === Exit.trust) throw error
        silent.set(member, error)
      }
    }),
  )
  return { answered, silent }
}

const disagreement = (vault: Vault, answered: Readonly<Record<string, number>>): Fault => {
  const held = Object.entries(answered).map(
    ([member, generation]) => `${member} has generation ${generation}`,
  )
  return new Fault(Exit.decide, `the members do not hold the same state: ${held.join(', ')}`, {
    stands: 'unmounted, every member still open',
    next: `cloudvault up ${vault.profile.vault}   (then scrub, then down again)`,
  })
}
