import { shellLine } from '../../host/quote.ts'
import { memberId, tunnelOf } from '../../names.ts'
import type { LinkOf } from '../../profile/profile.ts'
import { idlePort } from '../firewall/firewall.ts'
import { placeOf, type Site } from '../site.ts'
import script from './ipsec.sh'
import { tunnelUnit } from './unit.ts'

/**
 * IKEv2 and ESP by a strongSwan of our own, beside any other that may be there: by the kernel where it has ESP, by
 * strongSwan itself where not. Everything goes through one UDP port, open to the client's addresses. The export listens
 * at an address that only the tunnel leads to; a rule of the firewall drops what comes to it by another way.
 */

interface IpsecEnd {
  readonly device: string
  /** For its configuration and its socket; made and removed by the script. */
  readonly folder: string
  /** File with the shared key, as swanctl reads it. */
  readonly secret: string
  readonly side: 'server' | 'client'
  readonly id: string
  /** UDP port that it listens on; none: any. */
  readonly listen?: number
  /** The second UDP port that strongSwan insists on, for IKE without ESP; nobody is let in there. */
  readonly idle?: number
  /** Where the other side is reached, and at which port; none: it comes to us. */
  readonly endpoint?: string
  readonly remote?: number
  /** Addresses inside the tunnel. */
  readonly own: string
  readonly peer: string
  /** Made when the engine runs and has its keys. */
  readonly ready: string
}

/** The script with its facts at the top. */
export const ipsecScript = (end: IpsecEnd): string => {
  const { listen = '', idle = '', endpoint = '', remote = '' } = end
  const facts = { ...end, listen: `${listen}`, idle: `${idle}`, endpoint, remote: `${remote}` }
  const lines = Object.entries(facts).map(
    ([key, value]) => `${key}=${value === '' ? '' : shellLine([value])}`,
  )
  return `#!/bin/sh\n# Made by cloudvault; changed and removed by it.\n${lines.join('\n')}\n${script}`
}

export const ipsecServerScript = (site: Site, link: LinkOf<'ipsec'>): string => {
  const { etc, run } = placeOf(site)
  const { device, server, client } = tunnelOf(site.vault, site.member.name)
  return ipsecScript({
    device,
    folder: `${run}/ipsec`,
    secret: `${etc}/ipsec.secret`,
    side: 'server',
    id: memberId(site.vault, site.member.name),
    listen: link.port,
    idle: idlePort(link.port),
    own: server,
    peer: client,
    ready: `${run}/tunnel`,
  })
}

/** charon gives rights up by itself, and ends when it may not: capset is among the privileged calls. */
export const ipsecUnit = (site: Site, link: LinkOf<'ipsec'>): string =>
  tunnelUnit(site, 'IPsec', 'ipsec.sh', link.port, ['SystemCallFilter=@system-service'])
