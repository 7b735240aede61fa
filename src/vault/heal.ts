import { perform } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import { mapperPath } from '../names.ts'
import { type RecordData, readRecord, updateRecord } from '../record/record.ts'
import { impureChunks, mirrorProfiles, readChunkTable } from '../stack/btrfs.ts'
import { type ScrubState, scrub } from '../stack/scrub.ts'
import type { Vault } from '../stack/vault.ts'

/**
 * Resilver: makes a copy that missed writes whole again, and proves it. Every step may be cut off and begun again; the
 * record says "not whole" until the last one is through.
 */

/** A conversion of single chunks moves gigabytes over somebody's uplink. */
const balanceDeadline = 7 * 24 * 3600 * 1000

export interface Healed {
  readonly corrected: number
  readonly bytes: number
}

/**
 * @param seen called about once a second while a scrub runs
 * @throws Fault 8 when something could not be mended, 130 when interrupted (it is resumed by the next one)
 */
export const resilver = async (
  vault: Vault,
  signal: AbortSignal,
  seen: (state: ScrubState) => void,
): Promise<Healed> => {
  const record = await readRecord(vault.paths.record)
  if (!record) throw new Fault(Exit.missing, `this machine has no record of ${vault.profile.vault}`)
  const { at } = vault.profile.mount
  await dropStickyErrors(vault, record)
  const first = await scrub(vault.local, at, signal, seen)
  await restoreRedundancy(vault, record)
  const second = await scrub(vault.local, at, signal, seen)
  const impure = await impureNow(vault, record)
  if (first.status !== 'finished' || second.status !== 'finished') {
    throw new Fault(Exit.decide, 'a scrub was stopped before its end', {
      next: `cloudvault resilver ${vault.profile.vault}`,
    })
  }
  if (second.uncorrectable > 0 || second.corrected > 0 || impure.length > 0) {
    throw new Fault(Exit.integrity, `the copies are not equal yet: ${remains(second, impure)}`, {
      stands: 'the vault is mounted; what is right is served',
      next: `cloudvault resilver ${vault.profile.vault}`,
    })
  }
  await perform({ on: vault.local, command: { argv: ['btrfs', 'device', 'stats', '-z', at] } })
  await updateRecord(vault.paths.record, ({ resilver: _, ...whole }) => whole)
  return { corrected: first.corrected, bytes: first.bytes + second.bytes }
}

/**
 * A failed write leaves an error flag on the cached superblock page; Btrfs goes on counting failures that are none,
 * and the next glitch of the other member would force the filesystem read-only.
 */
const dropStickyErrors = async (vault: Vault, record: RecordData): Promise<void> => {
  for (const member of record.resilver?.members ?? Object.keys(record.members)) {
    const argv = ['blockdev', '--flushbufs', mapperPath(vault.profile.vault, member)]
    await perform({ on: vault.local, command: { argv, deadline: 120_000 } })
  }
}

/** What was written while a copy was away may lie in chunks without a mirror; scrub does not change that. */
const restoreRedundancy = async (vault: Vault, record: RecordData): Promise<void> => {
  if ((await impureNow(vault, record)).length === 0) return
  const { data, metadata } = mirrorProfiles(vault.profile.filesystem.redundancy, vault.profile.members.length)
  const convert = [`-dconvert=${data},soft`, `-mconvert=${metadata},soft`]
  await perform({
    on: vault.local,
    command: {
      argv: ['btrfs', 'balance', 'start', ...convert, vault.profile.mount.at],
      deadline: balanceDeadline,
    },
  })
}

const impureNow = async (vault: Vault, record: RecordData): Promise<string[]> =>
  impureChunks(
    await readChunkTable(record.fsid),
    vault.profile.filesystem.redundancy,
    vault.profile.members.length,
  )

const remains = (state: ScrubState, impure: readonly string[]): string =>
  [
    ...(state.corrected > 0 ? [`${state.corrected} blocks still had to be mended`] : []),
    ...(state.uncorrectable > 0 ? [`${state.uncorrectable} blocks are wrong on every copy`] : []),
    ...(impure.length > 0 ? [`too few copies of ${impure.join(', ')}`] : []),
  ].join('; ')
