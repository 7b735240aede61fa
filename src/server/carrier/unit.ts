import { serverUser } from '../../names.ts'
import { hardening } from '../hardening.ts'
import { sessionScriptPath } from '../session.ts'
import { placeOf, type Site } from '../site.ts'

/** What the units of all links share: each starts only under a lease and behind the firewall. */
export const carrierUnit = (site: Site, what: string, lines: readonly string[]): string => {
  const { id, run } = placeOf(site)
  return `# Made by cloudvault; changed and removed by it.
[Unit]
Description=cloudvault ${what} of vault ${site.vault}, member ${site.member.name}
ConditionPathExists=${run}/lease
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=exec
ExecStartPre=+${sessionScriptPath} shield ${id}
UMask=0077
KillMode=control-group
TimeoutStartSec=30
TimeoutStopSec=10
Restart=on-failure
RestartSec=1
${lines.join('\n')}
`
}

/**
 * The unit of a tunnel: its engine is confined to a user of its own and to what a tunnel does to the network; that it
 * gets its keys and address is done from outside (with +).
 * @param port that it listens on; one below 1024 costs a right more
 * @param lines what this engine needs besides; a key that hardening has too takes its place
 */
export const tunnelUnit = (
  site: Site,
  name: string,
  script: string,
  port: number,
  lines: readonly string[],
): string => {
  const { etc, run } = placeOf(site)
  const tunnel = `/bin/sh ${etc}/${script}`
  const rights = port < 1024 ? 'CAP_NET_ADMIN CAP_NET_BIND_SERVICE' : 'CAP_NET_ADMIN'
  const own = [`CapabilityBoundingSet=${rights}`, `AmbientCapabilities=${rights}`, ...lines]
  return carrierUnit(site, `${name} tunnel`, [
    `ExecStartPre=+${tunnel} prepare`,
    `ExecStart=${tunnel} run`,
    `ExecStartPost=+${tunnel} up`,
    `ExecStopPost=+${tunnel} down`,
    `User=${serverUser}`,
    `Group=${serverUser}`,
    ...hardening.filter((line) => !own.some((other) => keyOf(other) === keyOf(line))),
    ...own,
    'ProtectHome=yes',
    'DevicePolicy=closed',
    'DeviceAllow=/dev/net/tun rw',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
    `ReadWritePaths=${run}`,
  ])
}

const keyOf = (line: string): string => line.replace(/=.*/, '')
