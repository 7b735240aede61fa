import { setTimeout as sleep } from 'node:timers/promises'
import { Fault } from '../fault.ts'
import { mapperPath } from '../names.ts'
import type { RecordData } from '../record/record.ts'
import { readSuperblock } from '../stack/btrfs.ts'
import type { Vault } from '../stack/vault.ts'

/**
 * Whether a member that is back on the same session serves an older disk: its provider said "flushed" and had not, or
 * put an old copy in its place. Looked up in the second superblock, which only whole commits write; an fsync that
 * waited for the connection would hide the loss in the first. What such a look cannot see, a scrub finds: single
 * blocks that were acknowledged and never flushed.
 */

/** A commit that was cut off by the outage goes on as soon as the connection is back; it has this long to finish. */
const settleMs = 3000

/** Generations that servers gave back: of the one member, and the highest of the others. 0: no answer, which proves nothing. */
export interface Generations {
  readonly held: number
  readonly newest: number
}

/** @returns null when nothing shows a loss */
export const lostGenerations = async (
  vault: Vault,
  record: RecordData,
  member: string,
  settle = settleMs,
): Promise<Generations | null> => {
  const first = await generations(vault, record, member)
  if (first.held >= first.newest || first.held === 0) return null
  await sleep(settle)
  const held = await generationOf(vault, member)
  return held >= first.newest || held === 0 ? null : { held, newest: first.newest }
}

export const generations = async (vault: Vault, record: RecordData, member: string): Promise<Generations> => {
  const others = Object.keys(record.members).filter((name) => name !== member)
  const found = await Promise.all(others.map((name) => generationOf(vault, name)))
  return { held: await generationOf(vault, member), newest: Math.max(0, ...found) }
}

const generationOf = async (vault: Vault, member: string): Promise<number> => {
  try {
    const found = await readSuperblock(vault.local, mapperPath(vault.profile.vault, member), true, 1)
    return found?.generation ?? 0
  } catch (error) {
    if (error instanceof Fault) return 0
    throw error
  }
}
