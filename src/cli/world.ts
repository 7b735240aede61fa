import type { Perform } from '../engine/action.ts'
import type { LocalMachine } from '../host/host.ts'
import type { RemoteHost } from '../host/ssh.ts'
import type { Member, Profile } from '../profile/profile.ts'

/**
 * Everything a verb needs from outside itself. Handed in by main.ts, so that a test can hand in another one:
 * no verb reaches for process.* or builds a host by itself.
 */
export interface World {
  readonly local: LocalMachine
  /**
   * A connection to a member's server with its host key pinned. The caller closes it.
   * @param deadlineMs for connecting and logging in; default 20,000
   * @throws Fault 4 unreachable, 5 host key differs or is not pinned.
   */
  connect(
    profile: Pick<Profile, 'vault' | 'path'>,
    member: Pick<Member, 'name' | 'ssh' | 'hostKey'>,
    deadlineMs?: number,
  ): Promise<RemoteHost>
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: NodeJS.WritableStream & { isTTY?: boolean }
  readonly stderr: NodeJS.WritableStream & { isTTY?: boolean }
  readonly stdin: NodeJS.ReadableStream & { isTTY?: boolean }
  /** Effective user id. */
  readonly uid: number
  /** How to start cloudvault again in the background: program and first arguments. */
  readonly self: readonly string[]
  /** Aborted by the first Ctrl-C, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal
  /** From now on nothing is said about a Ctrl-C: it is how a watch ends. */
  readonly quiet?: () => void
  /** How `up` and `down` carry out one action of a step; a test hands in one that counts and fails. */
  readonly perform: Perform
}
