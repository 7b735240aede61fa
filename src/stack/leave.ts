import { commandFailed } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import { endedByOthers } from './balance.ts'
import { lengthy } from './lengthy.ts'

/**
 * A device leaves the filesystem: the kernel stores what is on it on the others, chunk by chunk, and forgets it at the
 * end. Cut off, what was moved stays moved, and the next one goes on with the rest.
 */

/**
 * @param device its number in the filesystem; it may be missing
 * @param look called about every two seconds
 * @throws Fault 7 when the others have no room for it
 */
export const removeDevice = async (
  local: Host,
  at: string,
  device: number,
  work: { readonly signal: AbortSignal; readonly look: () => Promise<void> },
): Promise<void> => {
  await stopRemoval(local, at)
  const argv = ['btrfs', 'device', 'remove', `${device}`, at]
  const output = await lengthy(local, argv, { ...work, stop: () => stopRemoval(local, at) })
  if (output.code === 0) return
  if (/no space left/i.test(output.stderr))
    throw new Fault(Exit.decide, 'the other members have not room enough for what is on it', {
      detail: output.stderr,
      stands: 'it is a member as before; what was moved is on the others',
    })
  if (/cancell?ed/i.test(output.stderr)) throw endedByOthers('the removal')
  throw commandFailed(local.name, argv, output)
}

/** Ends one that runs: its device stays in the filesystem. */
export const stopRemoval = async (local: Host, at: string): Promise<void> => {
  const argv = ['btrfs', 'device', 'remove', 'cancel', at]
  const output = await local.run({ argv, deadline: 600_000 })
  // ENOTCONN: there is none. EINPROGRESS: something else has the filesystem to itself, which is not ours to end here.
  if (output.code !== 0 && !/not connected|in progress|not running/i.test(output.stderr))
    throw commandFailed(local.name, argv, output)
}
