import { Exit, Fault } from '../../fault.ts'
import type { Member } from '../../profile/profile.ts'
import type { Vault } from '../vault.ts'
import type { Link } from './link.ts'

/**
 * The seed recipe: NBD straight over TCP. LUKS keeps the content secret, but nothing authenticates the server or the
 * client; only the server's firewall keeps others out, and anybody on the path can change or drop blocks.
 */
export const plainLink = (vault: Vault, member: Member, link: Member['link'] & { kind: 'plain' }): Link => ({
  steps: [],
  target: async () => {
    const host = link.address ?? vault.remote(member.name)?.resolved.host
    if (host) return { kind: 'tcp', host, port: link.port }
    throw new Fault(Exit.unreachable, `the address of ${member.name} is not known without its server`, {
      member: member.name,
      next: 'write link.plain.address into the profile',
    })
  },
})
