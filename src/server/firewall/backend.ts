import { Exit, Fault } from '../../fault.ts'
import type { Host } from '../../host/host.ts'
import type { FirewallKind } from '../../profile/profile.ts'

/**
 * Which firewall a server uses. Only asked for links that open a port. Ours is always a thing of its own beside what
 * is there; the rule that lets SSH in is never touched.
 */

/** @throws Fault 3 when a firewall rules the server that we cannot add to */
export const detectFirewall = async (host: Host): Promise<FirewallKind> => {
  if (await succeeds(host, 'command -v firewall-cmd >/dev/null && firewall-cmd --state')) return 'firewalld'
  if (await succeeds(host, 'command -v ufw >/dev/null && ufw status | grep -qx "Status: active"'))
    return 'ufw'
  if (await succeeds(host, hiddenLegacy)) throw unsupported(host, 'iptables-legacy beside another iptables')
  if (await succeeds(host, foreignTable))
    throw unsupported(host, 'an nftables ruleset that drops what it does not know')
  return (await succeeds(host, iptablesDrops)) ? 'iptables' : 'nftables'
}

const drops = `grep -Eq '^-P INPUT DROP|^-A INPUT .*-j (DROP|REJECT)( |$)'`

/** Rules of the older make, which the tool called iptables does not see. */
const hiddenLegacy = `[ -s /proc/net/ip_tables_names ] && ! iptables -V | grep -q legacy && iptables-legacy -S INPUT | ${drops}`

/** Looking must not make tables: the older make has some only after it was asked. */
const iptablesDrops = `command -v iptables >/dev/null && { iptables -V | grep -q nf_tables || [ -s /proc/net/ip_tables_names ]; } &&
  { iptables -w 10 -S INPUT; [ ! -e /proc/net/if_inet6 ] || ip6tables -w 10 -S INPUT; } | ${drops}`

/** A chain that drops by default and is not iptables' own: an accept of ours would not be the last word. */
const foreignTable = `command -v nft >/dev/null && nft list ruleset | awk -v known="$(command -v iptables)" '
  $1 == "table" { table = $2 " " $3 }
  $1 == "chain" { chain = $2 }
  /hook input .*policy drop/ && !(known && table ~ /^ip6? filter$/ && chain == "INPUT") { found = 1 }
  END { exit !found }'`

const succeeds = async (host: Host, script: string): Promise<boolean> => {
  const output = await host.run({ argv: ['sh', '-c', script] })
  if (output.code !== null) return output.code === 0
  throw new Fault(Exit.unreachable, 'the connection was lost while the firewall was looked at', {
    member: host.name,
  })
}

const unsupported = (host: Host, what: string): Fault =>
  new Fault(Exit.missing, `the server is ruled by ${what}, which cloudvault cannot add to`, {
    member: host.name,
    stands: 'no port was opened',
    next: 'use link: ssh (needs no port), or let ufw, firewalld or iptables rule the server',
  })
