import { serverUser, tunnelOf } from '../names.ts'
import { carrierFact, listensAt } from './carrier.ts'
import { hardening } from './hardening.ts'
import { sessionScriptPath } from './session.ts'
import { placeOf, type Site } from './site.ts'

/**
 * The texts that make an export: the unit that serves the disk and the facts the session script needs. The unit is
 * never enabled and starts only while a session's lease lies in /run, so a rebooted server serves nothing.
 */

/** /etc/cloudvault/ID/export, read by the session script: "key value" lines. */
export const exportText = (site: Site, firewall: string): string => {
  const { link, server, disk } = site.member
  return [
    `server ${server}`,
    `disk ${disk.path}`,
    `listen ${listensAt(link) ?? 'unix'}`,
    `firewall ${firewall}`,
    ...carrierFact(link),
    ...addressOf(site).map((address) => `address ${address}`),
    '',
  ].join('\n')
}

export const unitText = (site: Site): string => {
  const { id, run } = placeOf(site)
  return `# Made by cloudvault; changed and removed by it.
[Unit]
Description=cloudvault export of vault ${site.vault}, member ${site.member.name}
ConditionPathExists=${run}/lease
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
${serverLines(site, run).join('\n')}
ExecStartPre=+${sessionScriptPath} guard ${id}
ExecStartPost=+${sessionScriptPath} opened ${id}
User=${serverUser}
Group=${serverUser}
UMask=0077
KillMode=control-group
TimeoutStartSec=30
TimeoutStopSec=30
Restart=on-failure
RestartSec=1
${[...hardening, ...accessLines(site, run)].join('\n')}
`
}

/** nbd-server forks (its -d would serve a single client), nbdkit stays in the foreground. */
const serverLines = (site: Site, run: string): string[] => {
  const { link, server, disk } = site.member
  if (server === 'nbd-server') {
    return [
      'Type=forking',
      `PIDFile=${run}/server.pid`,
      `ExecStart=nbd-server -C ${run}/config -p ${run}/server.pid`,
    ]
  }
  const port = listensAt(link)
  const listen =
    port === null
      ? `--unix=${run}/export.sock`
      : `--port=${port}${addressOf(site)
          .map((address) => ` --ipaddr=${address}`)
          .join('')}`
  return [
    'Type=exec',
    `EnvironmentFile=${run}/config`,
    `ExecStart=nbdkit --foreground ${listen} --filter=exportname file ${disk.path} exportname-strict=true exportname=\${NONCE}`,
  ]
}

/** The one socket and the one disk. Behind ssh or a carrier there is no network at all: a unix socket is reached through its path. */
const accessLines = (site: Site, run: string): string[] => {
  const { disk, link } = site.member
  const network =
    listensAt(link) === null
      ? ['PrivateNetwork=yes', 'RestrictAddressFamilies=AF_UNIX']
      : ['RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6', ...tunnelLine(site)]
  if (disk.kind === 'device') {
    return [
      ...network,
      'ProtectHome=yes',
      'DevicePolicy=closed',
      `DeviceAllow=${disk.path} rw`,
      `SupplementaryGroups=${site.deviceGroup ?? 'disk'}`,
      `ReadWritePaths=${run}`,
    ]
  }
  return [
    ...network,
    ...(/^\/(?:home|root)\//.test(disk.path) ? [] : ['ProtectHome=yes']),
    'PrivateDevices=yes',
    'PrivateUsers=yes',
    `ReadWritePaths=${disk.path} ${run}`,
  ]
}

/** What serves into a tunnel has no other network. */
const tunnelLine = (site: Site): string[] =>
  site.member.link.kind === 'wireguard' ? [`NetworkNamespacePath=/run/netns/${placeOf(site).id}`] : []

/** Where nothing but a rule keeps others away it listens at one address. */
const addressOf = (site: Site): string[] =>
  site.member.link.kind === 'ipsec' ? [tunnelOf(site.vault, site.member.name).server] : []
