import type { Step } from '../../engine/step.ts'
import { Exit, Fault } from '../../fault.ts'
import type { RemoteHost } from '../../host/ssh.ts'
import type { ServerMember } from '../../profile/profile.ts'
import type { Site } from '../site.ts'
import { detectFirewall, type FirewallKind } from './backend.ts'
import { nftablesStep } from './nftables.ts'
import { ourRules, ufwStep } from './ufw.ts'

/** Which firewall does it for a site: "none" when its link opens no port. */
export type Firewall = FirewallKind | 'none'

/** @param known what the receipt says was used before: an installed rule is kept up by the one that made it */
export const chooseFirewall = async (host: RemoteHost, member: ServerMember): Promise<Firewall> =>
  member.link.kind === 'plain' ? detectFirewall(host) : 'none'

export const firewallStep = async (site: Site, firewall: Firewall): Promise<Step> => {
  const { link } = site.member
  if (link.kind !== 'plain' || firewall === 'none') {
    const note = 'no port is opened: the data goes through SSH'
    return {
      name: 'firewall',
      needs: [],
      probe: async () => ({ is: 'present' as const, note }),
      up: [],
      down: [],
    }
  }
  return firewall === 'ufw' ? ufwStep(site, link.port, await ourRules(site)) : nftablesStep(site, link.port)
}

/**
 * Addresses that may reach the port: those of the profile, else the one the server sees us as.
 * @throws Fault 2 when only the profile could know (a jump host's address is not ours)
 */
export const clientsOf = (host: RemoteHost, member: ServerMember): readonly string[] => {
  if (member.link.kind !== 'plain') return []
  if (member.link.clients.length > 0) return member.link.clients
  if (!host.resolved.proxyJump && !host.resolved.proxyCommand) return [host.clientAddress]
  throw new Fault(Exit.usage, 'behind a jump host the server cannot tell which address we come from', {
    member: member.name,
    next: 'name the addresses in the profile: link: { …, clients: [203.0.113.7] }',
  })
}
