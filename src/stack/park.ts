import { stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { perform } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import { memberId, parkUnit } from '../names.ts'
import type { Sizes } from '../record/record.ts'
import { dial } from './attach/dial.ts'
import { reconfigureDevice } from './attach/nbd.ts'
import { deviceState } from './attach/sysfs.ts'
import type { Supervisor } from './supervise.ts'
import type { Vault } from './vault.ts'

/**
 * Parking: a member that stays silent is given a local server that answers every request with EIO. What waited fails
 * at once, Btrfs goes on with the other copies, nothing hangs, and the device stays, so that the member comes back
 * without an unmount.
 */

const handshakeMs = 10_000

/** The parking server: every request fails, also one beyond its size. */
const parkingArgv = (socket: string, sizeBytes: number): string[] => [
  ...['nbdkit', '--foreground', '--unix', socket, '--filter=error', 'null', `size=${sizeBytes}`],
  ...['error=EIO', 'error-rate=1'],
]

/**
 * Gives the device the parking server in the place of its dead connection.
 * @returns false when the kernel still holds the old connection for alive
 * @throws Fault 3 when nbdkit is not here
 */
export const park = async (
  vault: Vault,
  supervisor: Supervisor,
  member: string,
  sizes: Sizes,
): Promise<boolean> => {
  const socket = vault.paths.parkSocket(member)
  const unit = parkUnit(vault.profile.vault, member)
  if ((await supervisor.probe(unit)).is !== 'present') {
    await perform({ on: vault.local, command: { argv: ['rm', '-f', socket] } })
    // Of a copy's target, which is no member yet, only the device knows it.
    const known = sizes.length > 0 ? sizes : [Number((await deviceState(vault.nbdIndex(member))).sizeBytes)]
    for (const action of supervisor.start(unit, parkingArgv(socket, Math.max(0, ...known))))
      await perform(action)
  }
  await listens(socket, member)
  const connection = await dial({ kind: 'unix', path: socket }, '', handshakeMs)
  try {
    await reconfigureDevice({
      index: vault.nbdIndex(member),
      fd: connection.fd,
      backend: memberId(vault.profile.vault, member),
    })
    return true
  } catch (error) {
    if (error instanceof Fault && error.exit === Exit.busy) return false
    throw error
  } finally {
    connection.close()
  }
}

/** Ends the parking server by SIGKILL: a graceful end keeps its connections, and the kernel would keep the device on it. */
export const unpark = async (vault: Vault, supervisor: Supervisor, member: string): Promise<void> => {
  for (const action of supervisor.kill(parkUnit(vault.profile.vault, member))) await perform(action)
}

const listens = async (socket: string, member: string): Promise<void> => {
  for (let waited = 0; waited < 50; waited++) {
    if ((await stat(socket).catch(() => null))?.isSocket()) return
    await sleep(100)
  }
  throw new Fault(Exit.missing, `the parking server of ${member} did not start`, {
    member,
    next: 'apt-get install nbdkit',
  })
}
