import type { HostKey } from './key.ts'
import type { ResolvedSsh } from './resolve.ts'

/**
 * Options for OpenSSH's own client, which carries the data (`ssh -N -L`). No configuration file is read: everything
 * it may use is said here, the pinned key included, so that it does what ssh2 did or nothing.
 *
 * @param knownHostsFile holds exactly one line, made by knownHostsLine(hostKeyAlias, hostKey)
 * @returns everything between `ssh -N -L …` and the destination, then `--` and the host name itself
 */
export const opensshArguments = (
  resolved: ResolvedSsh,
  knownHostsFile: string,
  hostKeyAlias: string,
  hostKey: Pick<HostKey, 'type'>,
): string[] => {
  throw new Error(`not yet: ${resolved.host} ${knownHostsFile} ${hostKeyAlias} ${hostKey.type}`)
}
