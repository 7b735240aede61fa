import { together } from '../engine/together.ts'
import { Exit, Fault } from '../fault.ts'
import { mapperPath } from '../names.ts'
import { type RecordData, readRecord, writeRecord } from '../record/record.ts'
import { checkIdentities, readSuperblock, type Superblock } from './btrfs.ts'
import { freshness } from './compare.ts'
import { allParked, type Silence } from './silence.ts'
import type { Vault } from './vault.ts'

/**
 * The proof of `down`: after the unmount every superblock is read back from its server. Equal generations mean that
 * every mirror has everything; they are pinned in the record, and the next `up` refuses older ones.
 */

export interface Proving {
  readonly record: RecordData
  /** Members that take part. */
  readonly members: readonly string[]
  /** Mounted read-only: nothing is written, so nothing is proved. */
  readonly readOnly: boolean
  /** To tell a server that is silent for good from one that may still answer. */
  readonly silence: Silence
}

/**
 * Pins what every member provably holds. Members whose server does not answer any more are pinned with what they had:
 * the next `up` knows that they are behind. Not a single answer, or members that disagree, is no proof at all.
 * @throws Fault 4 when no server answers although one might, 7 when they hold different states
 */
export const prove = async (vault: Vault, options: Proving): Promise<void> => {
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
const readBack = async (vault: Vault, options: Proving) => {
  const answered: Record<string, number> = {}
  const silent = new Map<string, Error>()
  await together(
    options.members.map(async (member) => {
      try {
        const found = await superblocks(vault, [member], options.record, true)
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

/**
 * The superblocks of members of the record, by member; fresh: from the server, not from what is cached here.
 * @throws Fault 5 when one is no member, or serves another filesystem or device than it did
 */
export const superblocks = async (
  vault: Vault,
  members: readonly string[],
  record: RecordData,
  fresh: boolean,
): Promise<Readonly<Record<string, Superblock>>> => {
  const found = await together(
    members.map(async (member) => {
      if (!record.members[member])
        throw new Fault(Exit.trust, `${member} is not a member of this vault's record`, { member })
      const block = await readSuperblock(vault.local, mapperPath(vault.profile.vault, member), fresh)
      return [member, block] as const
    }),
  )
  checkIdentities(Object.fromEntries(found), record)
  return Object.fromEntries(found) as Record<string, Superblock>
}
