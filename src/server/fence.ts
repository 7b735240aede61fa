import { Exit, Fault } from '../fault.ts'
import type { Command, Host } from '../host/host.ts'
import { memberId } from '../names.ts'
import { changeDeadline, runScript, sessionFailed, sessionScriptPath, takeFailed } from './session.ts'

/**
 * Before a lost connection is replaced, the old one must be gone on the server: a write that was given up here may
 * still wait there, and would land after a newer one.
 */

/** Ends every connection of our session on the server and serves it anew, under the same name. */
const fenceCommand = (vault: string, member: string, nonce: string): Command => ({
  argv: [sessionScriptPath, 'fence', memberId(vault, member), nonce],
  deadline: changeDeadline,
})

/**
 * Afterwards nothing that was sent before can reach the disk any more.
 * @throws SessionLost 6 when somebody else holds it, Fault 7 when the server knows no session (it was rebooted), 3, 4
 */
export const fenceSession = async (
  host: Host,
  vault: string,
  member: string,
  nonce: string,
): Promise<void> => {
  const output = await runScript(host, fenceCommand(vault, member, nonce), vault, member)
  if (output.code === 0) return
  if (output.code === 6) throw takeFailed(vault, member, output)
  if (output.code !== 7) throw sessionFailed(vault, member, output, 'the session could not be fenced')
  throw new Fault(Exit.decide, 'its server has forgotten the session: it was rebooted', {
    member,
    next: `cloudvault status ${vault}`,
  })
}
