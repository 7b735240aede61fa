import { randomBytes } from 'node:crypto'
import type { Step } from '../engine/step.ts'
import { mapperPath } from '../names.ts'
import { spareCopies } from '../profile/profile.ts'
import { carriers, type Held, type KnownEpoch, learned, parseLabel } from '../record/epoch.ts'
import { type RecordData, readRecord, updateRecord, wasCut, withStale } from '../record/record.ts'
import type { Superblock } from './btrfs.ts'
import { type Compared, compare } from './compare.ts'
import { changesOf } from './keyring-age.ts'
import { settleNewcomer } from './newcomer.ts'
import { type Proving, prove, superblocks } from './prove.ts'
import { diverged, lacks, oldCopy, rolledBack, stranger } from './refuse.ts'
import type { Vault } from './vault.ts'

/**
 * Between the opened members and the mount: on the way up it asks whether these are the members of this vault and
 * whether they are as new as they were at the last proof; on the way down everything is read back (prove.ts).
 */

/** Fewer members than all take part only when degraded was permitted. */
export interface AssembleOptions extends Proving {
  /** The session was taken from another machine, which may have been cut off in the middle of a commit. */
  readonly takeOver: boolean
  /** Mount although one member serves an older state than the others. */
  readonly allowStale: boolean
  /** Mount although all of them do, and take that state for the vault. */
  readonly acceptRollback: boolean
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
  const found = heldBy(name, await superblocks(vault, options.members, record, false))
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
