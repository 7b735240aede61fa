import { readFile } from 'node:fs/promises'
import { Receipt } from '../engine/receipt.ts'
import type { Profile } from '../profile/profile.ts'
import type { VaultPaths } from '../record/paths.ts'
import { type RecordData, readRecord } from '../record/record.ts'
import { thisHolder } from '../server/session.ts'
import { type Supervisor, supervisor } from '../stack/supervise.ts'
import type { World } from './world.ts'

/** What this machine knows of a vault before anybody is contacted. */

export interface Known {
  readonly profile: Profile
  readonly paths: VaultPaths
  readonly record: RecordData | null
  readonly receipt: Receipt
  readonly supervisor: Supervisor
  readonly bootId: string
  readonly holder: string
}

/** Record and receipt, and what they may grow to. */
export const usualRoom = 128 * 1024

/** A lease on a server outlives a reboot of this machine; everything else in a receipt is gone with it. */
export const survivesReboot = (step: string): boolean => step.startsWith('session ')

/**
 * @param rebuild a damaged record counts as lost, because it is going to be made anew
 * @throws Fault 5 damaged record
 */
export const readKnown = async (
  world: World,
  profile: Profile,
  paths: VaultPaths,
  rebuild: boolean,
): Promise<Known> => {
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  return {
    profile,
    paths,
    bootId,
    record: await readRecord(paths.record).catch((error: unknown) =>
      rebuild ? null : Promise.reject(error),
    ),
    receipt: await Receipt.open(paths.receipt, bootId, survivesReboot),
    supervisor: await supervisor(world.local, paths.run),
    holder: await thisHolder(profile.vault),
  }
}
