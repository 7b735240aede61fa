import { Exit, Fault } from '../../fault.ts'
import type { Host } from '../../host/host.ts'

/**
 * Which firewall a server uses. Only asked for links that open a port. Ours is always a thing of its own beside what
 * is there; the rule that lets SSH in is never touched.
 */

export type FirewallKind = 'nftables' | 'ufw'

/** @throws Fault 3 when a firewall rules the server that we cannot add to yet */
export const detectFirewall = async (host: Host): Promise<FirewallKind> => {
  if (await succeeds(host, 'command -v firewall-cmd >/dev/null && firewall-cmd --state')) {
    throw unsupported(host, 'firewalld')
  }
  if (await succeeds(host, 'command -v ufw >/dev/null && ufw status | grep -qx "Status: active"'))
    return 'ufw'
  if (
    await succeeds(
      host,
      '[ -s /proc/net/ip_tables_names ] && iptables-legacy -S INPUT | grep -q "^-P INPUT DROP"',
    )
  ) {
    throw unsupported(host, 'iptables (legacy)')
  }
  const closed = 'command -v nft >/dev/null && nft list ruleset | grep -Eq "hook input .*policy drop"'
  if (await succeeds(host, closed))
    throw unsupported(host, 'an nftables or iptables ruleset that drops what it does not know')
  return 'nftables'
}

const succeeds = async (host: Host, script: string): Promise<boolean> => {
  const output = await host.run({ argv: ['sh', '-c', script] })
  if (output.code !== null) return output.code === 0
  throw new Fault(Exit.unreachable, 'the connection was lost while the firewall was looked at', {
    member: host.name,
  })
}

const unsupported = (host: Host, what: string): Fault =>
  new Fault(Exit.missing, `the server is ruled by ${what}, which cloudvault cannot add to yet`, {
    member: host.name,
    stands: 'no port was opened',
    next: 'use link: ssh (needs no port), or ufw, or plain nftables',
  })
