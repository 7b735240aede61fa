import type { Host } from '../../host/host.ts'
import { shellLine } from '../../host/quote.ts'
import { tunnelOf } from '../../names.ts'
import type { LinkOf } from '../../profile/profile.ts'
import { placeOf, type Site } from '../site.ts'
import { tunnelUnit } from './unit.ts'
import script from './wireguard.sh'

/**
 * A WireGuard tunnel that ends in a network namespace of its own on the server; the export serves in there and is
 * reached through the tunnel alone. It answers nobody who does not know its key, so its port is open to every
 * address, and a client may change its own as it likes.
 */

export interface TunnelEnd {
  readonly device: string
  /** Files with our key, the other side's, and the one that both add. */
  readonly private: string
  readonly public: string
  readonly shared: string
  /** UDP port that it listens on; none: any. */
  readonly listen?: number
  /** Where the other side is reached; none: it comes to us. */
  readonly endpoint?: string
  /** Addresses inside the tunnel. */
  readonly own: string
  readonly peer: string
  readonly namespace?: string
  /** Folder for the engine's own socket, where it is another user's. */
  readonly folder?: string
  /** Made when the tunnel is there. */
  readonly ready: string
}

/** The script with its facts at the top. */
export const tunnelScript = (end: TunnelEnd): string => {
  const { listen = '', endpoint = '', namespace = '', folder = '' } = end
  const facts = { ...end, listen: `${listen}`, endpoint, namespace, folder }
  const lines = Object.entries(facts).map(
    ([key, value]) => `${key}=${value === '' ? '' : shellLine([value])}`,
  )
  return `#!/bin/sh\n# Made by cloudvault; changed and removed by it.\n${lines.join('\n')}\n${script}`
}

export const wireguardScript = (site: Site, link: LinkOf<'wireguard'>): string => {
  const { id, etc, run } = placeOf(site)
  const { device, server, client } = tunnelOf(site.vault, site.member.name)
  return tunnelScript({
    device,
    private: `${etc}/server.key`,
    public: `${etc}/client.pub`,
    shared: `${etc}/shared.key`,
    listen: link.port,
    own: server,
    peer: client,
    namespace: id,
    folder: `${run}/wireguard`,
    ready: `${run}/tunnel`,
  })
}

/** What `wg` talks to is a socket in /run/wireguard: there the unit sees a folder of its own (-: once that is made). */
export const wireguardUnit = (site: Site, link: LinkOf<'wireguard'>): string =>
  tunnelUnit(site, 'WireGuard', 'wireguard.sh', link.port, [
    `BindPaths=-${placeOf(site).run}/wireguard:/run/wireguard`,
  ])

/** wireguard-go is needed only where the kernel cannot do it. */
export const kernelHasWireguard = async (host: Host): Promise<boolean> => {
  const look =
    'modprobe wireguard 2>/dev/null; ip link add cvprobe type wireguard 2>/dev/null && ip link del cvprobe'
  return (await host.run({ argv: ['sh', '-c', look] })).code === 0
}
