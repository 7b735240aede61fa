import type { Action, Finding, Step } from '../../engine/step.ts'
import { Exit, Fault } from '../../fault.ts'
import type { RemoteHost } from '../../host/ssh.ts'
import { tunnelOf, tunnelPort } from '../../names.ts'
import type { FirewallKind, Link, ServerMember } from '../../profile/profile.ts'
import type { Site } from '../site.ts'
import { detectFirewall } from './backend.ts'
import { firewalldRemoval, firewalldStep, ourRichRules, readZones } from './firewalld.ts'
import { iptablesRemoval, iptablesStep } from './iptables.ts'
import { nftablesRemoval, nftablesStep, nftFile } from './nftables.ts'
import { ourRules, ufwRemoval, ufwStep } from './ufw.ts'

/** Which firewall does it for a site: "none" when its link opens no port. */
export type Firewall = FirewallKind | 'none'

/** @throws Fault 3 when a port is wanted and the server's firewall is another than the profile says, or one we cannot add to */
export const chooseFirewall = async (host: RemoteHost, member: ServerMember): Promise<Firewall> => {
  const { link, firewall } = member
  if (link.kind === 'ssh') return 'none'
  const found = await detectFirewall(host)
  if (firewall && firewall !== found) throw another(host, firewall, found)
  // Nothing is in the way there, and a tunnel keeps strangers out by itself.
  return found === 'nftables' && openingOf(link)?.from === 'anybody' ? 'none' : found
}

const another = (host: RemoteHost, said: FirewallKind, found: FirewallKind): Fault => {
  const is = found === 'nftables' ? 'nothing but plain nftables runs there' : `${found} rules there`
  return new Fault(Exit.missing, `the profile says firewall: ${said}, and ${is}`, {
    member: host.name,
    stands: 'no port was opened',
    next: `switch ${said} on at the server, or write firewall: ${found} (or nothing) in the profile`,
  })
}

/** Far from the one that is open, and never below 1024. */
export const idlePort = (port: number): number => (port < 40_000 ? port + 20_000 : port - 20_000)

/** A port that a link opens on the server. */
export interface Opening {
  readonly protocol: 'tcp' | 'udp'
  readonly port: number
  /** Only these come in; or everybody, where who has no key gets no answer. */
  readonly from: readonly string[] | 'anybody'
  /** Another port of the same engine, where nobody has business. */
  readonly shut?: number
  /** The tunnel that ends behind the firewall; what comes to `server` by another way is dropped. */
  readonly inside?: Inside
}

type Inside = Readonly<Record<'server' | 'client', string>>

/** Who is let in by one rule. */
export interface Admitted {
  /** An address or range, or "any". */
  readonly from: string
  readonly port: number
  readonly protocol: 'tcp' | 'udp'
}

/** What one that keeps everybody out has to let in: the port, and what comes out of the tunnel, which it meets again. */
export const admitted = ({ protocol, port, from, inside }: Opening): readonly Admitted[] => [
  ...(from === 'anybody' ? ['any'] : from).map((address) => ({ from: address, port, protocol })),
  ...(inside ? [{ from: inside.client, port: tunnelPort, protocol: 'tcp' } as const] : []),
]

/**
 * @param clients what `clientsOf` found; not asked where everybody may come
 * @param inside the two ends of a tunnel of this member
 */
export const openingOf = (
  link: Link,
  clients: readonly string[] = [],
  inside: Inside = { server: '', client: '' },
): Opening | null => {
  if (link.kind === 'ssh') return null
  if (link.kind === 'wireguard') return { protocol: 'udp', port: link.port, from: 'anybody' }
  if (link.kind === 'ipsec')
    return { protocol: 'udp', port: link.port, from: clients, shut: idlePort(link.port), inside }
  return { protocol: 'tcp', port: link.port, from: clients }
}

/** The one step of whichever firewall it is. What another one was told for an older profile or ruleset goes first. */
export const firewallStep = async (site: Site, firewall: Firewall): Promise<Step> => {
  const opening = openingOf(site.member.link, site.clients, tunnelOf(site.vault, site.member.name))
  const rules = await ourRules(site)
  const rich = firewall === 'firewalld' || ourRichRules(site).length > 0
  const zones = rich ? await readZones(site.host) : { running: false, inUse: [], standing: [] }
  const removal: Readonly<Record<FirewallKind, readonly Action[]>> = {
    ufw: ufwRemoval(site, rules),
    firewalld: firewalldRemoval(site, zones),
    iptables: iptablesRemoval(site),
    nftables: site.own.get('firewall')?.what.includes(nftFile(site)) ? nftablesRemoval(site) : [],
  }
  const down = Object.values(removal).flat()
  if (opening === null || firewall === 'none') return noPort(site, down)
  const step = {
    ufw: () => ufwStep(site, opening, rules),
    firewalld: () => firewalldStep(site, opening, zones),
    iptables: () => iptablesStep(site, opening),
    nftables: () => nftablesStep(site, opening),
  }[firewall]()
  const kept: readonly string[] = usesNft(firewall, site.member.link) ? [firewall, 'nftables'] : [firewall]
  const others = Object.entries(removal).flatMap(([kind, actions]) => (kept.includes(kind) ? [] : actions))
  return { ...step, up: [...others, ...step.up], mend: [...others, ...(step.mend ?? [])], down }
}

/** Whether it takes nft: where a table of ours shuts the port. */
export const usesNft = (firewall: Firewall, link: Link): boolean =>
  firewall === 'nftables' ||
  (firewall === 'firewalld' && openingOf(link)?.from !== 'anybody') ||
  (firewall !== 'none' && openingOf(link)?.inside !== undefined)

/** Nothing to allow; but a rule that an older profile needed is taken away. */
const noPort = (site: Site, removal: readonly Action[]): Step => ({
  name: 'firewall',
  needs: [],
  probe: async (): Promise<Finding> =>
    site.own.get('firewall')
      ? { is: 'differs', found: 'a rule is left over from an older profile' }
      : {
          is: 'present',
          note:
            site.member.link.kind === 'ssh'
              ? 'no port is opened, the data goes through SSH'
              : 'nothing is in the way of the tunnel',
        },
  up: [],
  mend: [...removal, site.own.forget('firewall')],
  down: removal,
})

/**
 * Addresses that may reach the port: those of the profile, else the one the server sees us as.
 * @throws Fault 2 when only the profile could know (a jump host's address is not ours)
 */
export const clientsOf = (host: RemoteHost, member: ServerMember): readonly string[] => {
  if (!('clients' in member.link)) return []
  if (member.link.clients.length > 0) return member.link.clients
  if (!host.resolved.proxyJump && !host.resolved.proxyCommand) return [host.clientAddress]
  throw new Fault(Exit.usage, 'behind a jump host the server cannot tell which address we come from', {
    member: member.name,
    next: 'name the addresses in the profile: link: { …, clients: [203.0.113.7] }',
  })
}
