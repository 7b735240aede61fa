import type { Host } from './host.ts'
import type { HostKey } from './ssh/key.ts'
import type { ResolvedSsh } from './ssh/resolve.ts'

export { fingerprintOf, fingerprintPattern, type HostKey, knownHostsLine } from './ssh/key.ts'
export { opensshArguments } from './ssh/openssh.ts'
export { type ResolvedSsh, resolveSsh } from './ssh/resolve.ts'

/** A server over SSH, its key verified. */
export interface RemoteHost extends Host {
  readonly hostKey: HostKey
  readonly resolved: ResolvedSsh
  /** What the server sees us as: an IPv4 or IPv6 address. Behind a jump host it is the jump host's. */
  readonly clientAddress: string
  /** The login user; commands that need root go through `sudo -n` unless it is root. */
  readonly user: string
  /** True when the server's key was trusted because the user's known_hosts has it, not because of a pin. */
  readonly trustedByKnownHosts: boolean
  /** Ends the connection; never throws, never takes longer than 2 s. */
  close(): Promise<void>
}

export interface ConnectOptions {
  /** The member's name: stands in errors and dry runs. */
  readonly name: string
  /** "SHA256:…"; only this key is accepted. */
  readonly pin?: string
  /** Asked without a pin and without a match in known_hosts; no connection is open meanwhile. */
  readonly onUnknownKey?: (fingerprint: string, type: string) => Promise<boolean>
  /** Milliseconds for one attempt to connect and log in. */
  readonly deadlineMs: number
  readonly signal: AbortSignal
}

/**
 * Connects and logs in, after the host key was verified.
 * @throws Fault 3 no usable key or right, 4 unreachable, 5 host key unknown or different, 130 interrupted
 */
export const connectSsh = async (
  local: Host,
  resolved: ResolvedSsh,
  options: ConnectOptions,
): Promise<RemoteHost> => {
  throw new Error(`not yet: ${local.name} ${resolved.host} ${options.name}`)
}
