import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Exit, Fault } from '../fault.ts'

/**
 * How fast a scrub may read: the kernel's own limit per device, bytes per second, 0 for none. It may be changed while a
 * scrub runs, and lasts until the filesystem is unmounted: whoever sets one puts back what was there.
 */

/** Bytes per second for each device id. */
export type Limits = Readonly<Record<number, number>>

const file = (fsid: string, devid: number): string =>
  join('/sys/fs/btrfs', fsid, 'devinfo', `${devid}`, 'scrub_speed_max')

/** @throws Fault 3 where the kernel has no such limit (before Linux 5.14) */
export const readLimits = async (fsid: string, devids: readonly number[]): Promise<Limits> => {
  const limits: Record<number, number> = {}
  for (const devid of devids) {
    const text = await readFile(file(fsid, devid), 'utf8').catch(() => null)
    if (text === null)
      throw new Fault(Exit.missing, 'this kernel cannot limit a scrub', {
        stands: 'nothing was changed',
        next: 'boot Linux 5.14 or newer, or leave --limit out',
      })
    limits[devid] = Number(text)
  }
  return limits
}

/** @throws Fault 3 when the kernel refuses */
export const writeLimits = async (fsid: string, limits: Limits): Promise<void> => {
  for (const [devid, limit] of Object.entries(limits)) {
    await writeFile(file(fsid, Number(devid)), `${limit}\n`).catch((error: NodeJS.ErrnoException) => {
      throw new Fault(Exit.missing, `the limit of a scrub cannot be set (${error.code})`, { cause: error })
    })
  }
}
