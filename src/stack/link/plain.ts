import { Exit } from '../../fault.ts'
import type { Member } from '../../profile/profile.ts'
import type { Vault } from '../vault.ts'
import type { Link } from './link.ts'

/**
 * The seed recipe: NBD straight over TCP. LUKS keeps the content secret, but nothing authenticates the server or the
 * client; only the server's firewall keeps others out, and anybody on the path can change or drop blocks.
 */
export const plainLink = (vault: Vault, member: Member, link: Member['link'] & { kind: 'plain' }): Link => ({
  steps: [],
  target: async () => ({
    kind: 'tcp',
    host: link.address ?? (await vault.address(member.name)),
    port: link.port,
  }),
  explain: (fault) =>
    fault.exit === Exit.unreachable
      ? fault.with({ member: member.name, next: updateFirewall(vault.profile.vault, member.name) })
      : fault,
})

/** What to type when this machine has another address than the server's firewall lets through. */
export const updateFirewall = (vault: string, member: string): string =>
  `cloudvault provision ${vault} ${member}   (if this machine's address has changed, it updates the server's firewall)`
