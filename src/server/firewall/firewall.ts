import type { Action, Finding, Step } from '../../engine/step.ts'
import { Exit, Fault } from '../../fault.ts'
import type { RemoteHost } from '../../host/ssh.ts'
import type { ServerMember } from '../../profile/profile.ts'
import type { Site } from '../site.ts'
import { detectFirewall, type FirewallKind } from './backend.ts'
import { nftablesRemoval, nftablesStep } from './nftables.ts'
import { ourRules, ufwRemoval, ufwStep } from './ufw.ts'

/** Which firewall does it for a site: "none" when its link opens no port. */
export type Firewall = FirewallKind | 'none'

/** @throws Fault 3 when a port is wanted and the server's firewall is one we cannot add to */
export const chooseFirewall = async (host: RemoteHost, member: ServerMember): Promise<Firewall> =>
  member.link.kind === 'plain' ? detectFirewall(host) : 'none'

export const firewallStep = async (site: Site, firewall: Firewall): Promise<Step> => {
  const { link } = site.member
  const rules = await ourRules(site)
  const down = [...ufwRemoval(site, rules), ...(site.own.get('firewall') ? nftablesRemoval(site) : [])]
  if (link.kind !== 'plain' || firewall === 'none') return noPort(site, down)
  if (firewall === 'nftables') return { ...nftablesStep(site, link.port), down }
  const step = ufwStep(site, link.port, rules)
  // A table from before ufw was switched on would go on shutting out clients that are added now.
  const before = site.own.get('firewall')?.what.some((what) => what.startsWith('/'))
    ? nftablesRemoval(site)
    : []
  return { ...step, up: [...before, ...step.up], down }
}

/** Nothing to allow; but a rule that an older profile needed is taken away. */
const noPort = (site: Site, removal: readonly Action[]): Step => ({
  name: 'firewall',
  needs: [],
  probe: async (): Promise<Finding> =>
    site.own.get('firewall')
      ? { is: 'differs', found: 'a rule is left over from an older profile' }
      : { is: 'present', note: 'no port is opened, the data goes through SSH' },
  up: [],
  mend: [...removal, site.own.forget('firewall')],
  down: removal,
})

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
