import { mkdir, rm, stat } from 'node:fs/promises'
import type { Action } from '../../engine/step.ts'
import { Exit, Fault } from '../../fault.ts'
import type { Supervisor } from '../supervise.ts'
import type { Vault } from '../vault.ts'

/** What pumps have in common: a local file, mostly a unix socket, that is there while they run. */

export const makeRun = (vault: Vault): Action => ({
  on: vault.local,
  text: `mkdir -p -m 0700 ${vault.paths.run}`,
  call: () => mkdir(vault.paths.run, { recursive: true, mode: 0o700 }),
})

/** Calls a program that the pump will need: without it nothing would ever come up, and nobody would say why. */
export const requireProgram = (vault: Vault, argv: readonly string[]): Action => ({
  on: vault.local,
  command: { argv },
  ok: [0, 1],
})

export const removeSocket = (vault: Vault, socket: string): Action => ({
  on: vault.local,
  text: `rm -f ${socket}`,
  call: () => rm(socket, { force: true }),
})

/**
 * The socket goes first: once the pump is gone, nobody looks for it any more. And it goes again at last: a pump that
 * is stopped while it still shakes hands makes it in between, and leaves it when it ends.
 */
export const endPump = (
  vault: Vault,
  supervisor: Supervisor,
  unit: string,
  socket: string,
): readonly Action[] => [removeSocket(vault, socket), ...supervisor.stop(unit), removeSocket(vault, socket)]

/** @param kind of link, for the error: "SSH" */
export const awaitSocket = (vault: Vault, socket: string, member: string, kind: string): Action => ({
  on: vault.local,
  text: `wait up to 20 s for ${socket}`,
  call: () => appears(socket, member, kind),
})

/** 20 s: an SSH handshake takes 2 to 5 s on a slow single board. A tunnel says by a plain file that it is there. */
const appears = async (path: string, member: string, kind: string): Promise<void> => {
  for (let waited = 0; waited < 200; waited++) {
    if (
      await stat(path).then(
        (facts) => facts.isSocket() || facts.isFile(),
        () => false,
      )
    )
      return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Fault(Exit.unreachable, `the ${kind} link to ${member} did not come up within 20 s`, { member })
}
