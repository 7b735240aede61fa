import type { Step } from '../engine/step.ts'
import { together } from '../engine/together.ts'
import { Exit, Fault } from '../fault.ts'
import { mapperPath } from '../names.ts'
import { type RecordData, readRecord, updateRecord, withStale, writeRecord } from '../record/record.ts'
import { checkIdentities, readSuperblock, type Superblock } from './btrfs.ts'
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
      { on: vault.local, text: `write ${vault.paths.record}: open`, call: () => markOpen(vault) },
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

/** What the generations of all members mean together. */
export type Freshness =
  | { readonly is: 'fresh'; readonly generation: number }
  | { readonly is: 'stale'; readonly members: readonly string[]; readonly generation: number }
  | { readonly is: 'rollback'; readonly generation: number; readonly pinned: number }

/** @param found generation per member; @param pinned highest generation ever proved */
export const freshness = (found: Readonly<Record<string, number>>, pinned: number): Freshness => {
  const newest = Math.max(...Object.values(found))
  if (newest < pinned) return { is: 'rollback', generation: newest, pinned }
  const behind = Object.entries(found).filter(([, generation]) => generation < newest)
  return behind.length === 0
    ? { is: 'fresh', generation: newest }
    : { is: 'stale', members: behind.map(([member]) => member), generation: newest }
}

const checkMembers = async (vault: Vault, options: AssembleOptions): Promise<void> => {
  const { record } = options
  const found = generations(await superblocks(vault, options, false))
  const verdict = freshness(found, record.generation)
  if (verdict.is === 'rollback') throw rolledBack(verdict)
  const stale = verdict.is === 'stale' ? verdict.members : []
  // Without a clean `down` the last commit may have reached one member only; and a copy that was known to be behind
  // when it was last seen has a right to be. Anything else is an old copy served instead of a newer one.
  const known = (member: string): boolean =>
    record.open !== undefined ||
    options.takeOver ||
    record.resilver?.members.includes(member) === true ||
    (record.members[member]?.generation ?? 0) < record.generation
  const surprising = stale.filter((member) => !known(member) || older(found, record, member))
  if (surprising.length > 0 && !options.allowStale) throw oldCopy(vault, surprising, found)
  if (stale.length > 0) await updateRecord(vault.paths.record, (now) => withStale(now, stale))
}

/** Older than what this very member had provably reached. */
const older = (found: Readonly<Record<string, number>>, record: RecordData, member: string): boolean =>
  (found[member] ?? 0) < (record.members[member]?.generation ?? 0)

const rolledBack = ({ generation, pinned }: Freshness & { is: 'rollback' }): Fault =>
  new Fault(
    Exit.trust,
    `all servers hold generation ${generation}, older than ${pinned} of the last proof: an old copy`,
    {
      stands: 'nothing was mounted and nothing was written',
      next: 'ask the providers whether a snapshot was restored; the record on this machine knows the newer state',
    },
  )

const oldCopy = (vault: Vault, members: readonly string[], found: Readonly<Record<string, number>>): Fault =>
  new Fault(
    Exit.decide,
    `${members.join(', ')} is behind generation ${Math.max(...Object.values(found))}: an old copy of its disk is served`,
    {
      ...(members[0] ? { member: members[0] } : {}),
      stands: 'nothing was mounted',
      next: `cloudvault up ${vault.profile.vault} --allow-stale   (reads the newer copy and resilvers the older one)`,
    },
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

const generations = (blocks: Readonly<Record<string, Superblock>>): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(blocks).map(([member, block]) => [member, block.generation]))

/** Written before the mount: after a crash we know that newer generations than the pinned ones are our own. */
const markOpen = async (vault: Vault): Promise<void> => {
  const open = { bootId: vault.bootId, since: new Date().toISOString() }
  await updateRecord(vault.paths.record, (record) => ({ ...record, open }))
}

/**
 * Pins what every member provably holds. Members whose server does not answer any more are pinned with what they had:
 * the next `up` knows that they are behind. Not a single answer, or members that disagree, is no proof at all.
 * @throws Fault 4 when no server answers although one might, 7 when they hold different states
 */
const prove = async (vault: Vault, options: AssembleOptions): Promise<void> => {
  const record = await readRecord(vault.paths.record)
  if (!record) throw new Fault(Exit.missing, `the record ${vault.paths.record} vanished`)
  const { open: _, ...closed } = record
  if (options.readOnly) return writeRecord(vault.paths.record, closed)
  const { answered, silent } = await readBack(vault, options)
  const [failure] = silent.values()
  if (Object.keys(answered).length === 0) {
    // All are parked: nothing is proved, and the record goes on saying that it was not closed properly.
    if (await allParked(options.silence)) return
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
