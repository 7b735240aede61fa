import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import { Exit, Fault } from '../../fault.ts'
import { tunnelOf } from '../../names.ts'
import type { LinkOf, Member } from '../../profile/profile.ts'
import { tunnelScript } from '../../server/carrier/wireguard.ts'
import type { Supervisor } from '../supervise.ts'
import type { Vault } from '../vault.ts'
import type { Link } from './link.ts'
import { tunnelLink } from './tunnel.ts'

/**
 * A WireGuard tunnel to the server, by the kernel where it has one and by wireguard-go where not; the export answers
 * inside. This machine's address may change at any time: the next packet tells the server the new one.
 */
export const wireguardLink = (
  vault: Vault,
  member: Member,
  link: LinkOf<'wireguard'>,
  supervisor: Supervisor,
  needs: readonly string[],
): Link => ({
  ...tunnelLink({
    vault,
    member,
    link,
    supervisor,
    needs,
    called: 'WireGuard',
    program: ['wg', '--version'],
    script: () => scriptOf(vault, member, link),
  }),
  explain: (fault) => explained(vault, member, link, fault),
})

const scriptOf = async (vault: Vault, { name }: Member, link: LinkOf<'wireguard'>): Promise<string> => {
  const { device, server, client } = tunnelOf(vault.profile.vault, name)
  const key = (file: string): string => join(vault.paths.linkKeys(name), file)
  const host = link.address ?? (await vault.address(name))
  return tunnelScript({
    device,
    private: key('client.key'),
    public: key('server.pub'),
    shared: key('shared.key'),
    endpoint: isIPv6(host) ? `[${host}]:${link.port}` : `${host}:${link.port}`,
    own: client,
    peer: server,
    ready: vault.paths.tunnel(name),
  })
}

/** WireGuard answers nobody whose key it does not know, so that a wrong key looks like a port that is shut. */
const explained = async (
  vault: Vault,
  member: Member,
  link: LinkOf<'wireguard'>,
  fault: Fault,
): Promise<Fault> => {
  if (fault.exit !== Exit.unreachable) return fault
  const { vault: called } = vault.profile
  const { device } = tunnelOf(called, member.name)
  const shown = await vault.local.run({ argv: ['wg', 'show', device, 'latest-handshakes'] })
  const met = /\t[1-9]\d*$/m.test(shown.stdout)
  const next = `cloudvault provision ${called} ${member.name}   (gives the server the keys of this machine)`
  return met
    ? fault.with({ member: member.name })
    : new Fault(
        Exit.unreachable,
        `no WireGuard handshake: UDP port ${link.port} is not reached, or the server has other keys`,
        { member: member.name, next, ...(fault.details.detail ? { detail: fault.details.detail } : {}) },
      )
}
