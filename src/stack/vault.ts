import type { Host, LocalMachine } from '../host/host.ts'
import type { Secret } from '../host/secret.ts'
import type { RemoteHost } from '../host/ssh.ts'
import type { Profile } from '../profile/profile.ts'
import type { VaultPaths } from '../record/paths.ts'

/** What every layer of the near side is built from: one vault on this machine, as one verb sees it. */
export interface Vault {
  readonly profile: Profile
  readonly paths: VaultPaths
  readonly local: LocalMachine
  /** The member's server; `down` and `status` connect at first use, and not at all when they need not. */
  server(member: string): Host
  /** The connection that a verb made before planning; `up` and `create` have one for every member. */
  remote(member: string): RemoteHost | null
  /** Host name or address of the member's server, as SSH's own configuration resolves it; contacts nobody. */
  address(member: string): Promise<string>
  /** Of the running kernel: everything of another boot is gone. */
  readonly bootId: string
  /** The command that brings a damaged file of this machine back, called as in the kit; for error texts. */
  restore(file: string): string
  /** Who we are in a session: "laptop/3f2a91c0:photos". */
  readonly holder: string
  /** Export name that this client asks for; chosen anew for every session. */
  nonce(member: string): string
  /** /dev/nbdN of each member, chosen while planning, so that a dry run prints the very commands. */
  nbdIndex(member: string): number
  /**
   * Takes the member's session anew under another nonce, over a connection of its own: whatever lingers on the server
   * from before is stopped and can never reach the disk again.
   * @throws SessionLost when another machine has it, or has had it since: this mount may never write there again
   */
  rearm(member: string): Promise<void>
  /**
   * Ends what is left of the old connection on the server, over a connection of its own.
   * @throws SessionLost as above; Fault 7 when the server was rebooted and knows no session, 4 when it does not answer
   */
  fence(member: string): Promise<void>
  /** Opens the members' headers; asked for before the first step when it will be needed. */
  vaultKey(): Promise<Secret>
}
