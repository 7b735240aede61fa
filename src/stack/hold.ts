import { setTimeout as sleep } from 'node:timers/promises'
import { Fault } from '../fault.ts'
import { type Job, jobTitle } from '../record/job.ts'
import { type RecordData, readRecord } from '../record/record.ts'
import { stopBalance } from './balance.ts'
import { stopRemoval } from './leave.ts'
import { stopReplace } from './replace.ts'
import type { Vault } from './vault.ts'

/**
 * A change of members stands still while a member that it needs is given up. The kernel would not: a copy whose target
 * only answers with errors comes to its "end" in a moment, and the old member is forgotten for one with next to nothing
 * on it; a removal would move the only other copy onto a member that takes none.
 */

/** Asked that long before the member is parked, milliseconds: what waits for it in the kernel ends only then. */
const askedMs = 3000

/** Mount points of which the kernel was asked, and has not answered. */
const asking = new Set<string>()

/** Whether the change can do without it: the one that goes may be dead. */
export const spares = (job: Job, member: string): boolean => job.leaves === member

/** Tells the kernel to end what it moves for a change; call it before the member gets its parking server. */
export const holdChange = async (
  vault: Vault,
  member: string,
  say: (line: string) => void = () => {},
): Promise<void> => {
  const { job } = (await readRecord(vault.paths.record)) ?? {}
  if (job?.phase !== 'move' || spares(job, member)) return
  const { at } = vault.profile.mount
  // Tried again and again while the kernel holds a connection for alive; the kernel heard it the first time.
  if (asking.has(at)) return
  asking.add(at)
  say(`${jobTitle(job)}: waits until ${member} answers`)
  const asked = [stopBalance, stopRemoval, stopReplace].map((stop) => stop(vault.local, at).catch(unlessBug))
  const heard = Promise.all(asked).finally(() => asking.delete(at))
  await Promise.race([heard, sleep(askedMs)])
}

/** What cannot be ended meets errors, and is told by whoever waits for it. */
const unlessBug = (error: unknown): void => {
  if (!(error instanceof Fault)) throw error
}

/** Members that the change needs and that were given up since it was begun or gone on with. */
export const givenUpSince = (then: RecordData, now: RecordData): string[] => {
  const before = then.resilver?.members ?? []
  return (now.resilver?.members ?? []).filter(
    (name) => !before.includes(name) && !(now.job && spares(now.job, name)),
  )
}
