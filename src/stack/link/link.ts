import type { Step } from '../../engine/step.ts'
import type { Fault } from '../../fault.ts'
import type { Member } from '../../profile/profile.ts'
import type { Target } from '../attach/socket.ts'
import type { Supervisor } from '../supervise.ts'
import type { Vault } from '../vault.ts'
import { ipsecLink } from './ipsec.ts'
import { plainLink } from './plain.ts'
import { sshLink } from './ssh.ts'
import { tlsLink } from './tls.ts'
import { wireguardLink } from './wireguard.ts'

/**
 * How bytes get from this kernel to the export. A link is a byte pump made of an existing engine; above it nobody
 * knows which kind it is. Another kind is one more file here and one more case below.
 */
export interface Link {
  /** Steps that set the pump up; none when the network itself is the link. */
  readonly steps: readonly Step[]
  /** Where the NBD handshake is spoken on this machine once the steps are up. */
  target(): Promise<Target>
  /** Adds what only this kind knows about a connection that failed. */
  explain?(fault: Fault): Fault | Promise<Fault>
}

export const linkOf = (
  vault: Vault,
  member: Member,
  supervisor: Supervisor,
  needs: readonly string[],
): Link => {
  switch (member.link.kind) {
    case 'ssh':
      return sshLink(vault, member, supervisor, needs)
    case 'plain':
      return plainLink(vault, member, member.link)
    case 'tls':
      return tlsLink(vault, member, member.link, supervisor, needs)
    case 'ipsec':
      return ipsecLink(vault, member, member.link, supervisor, needs)
    case 'wireguard':
      return wireguardLink(vault, member, member.link, supervisor, needs)
  }
}
