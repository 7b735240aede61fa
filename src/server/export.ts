import { serverUser } from '../names.ts'
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
    `listen ${link.kind === 'plain' ? link.port : 'unix'}`,
    `firewall ${firewall}`,
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
  const listen = link.kind === 'plain' ? `--port=${link.port}` : `--unix=${run}/export.sock`
  return [
    'Type=exec',
    `EnvironmentFile=${run}/config`,
    `ExecStart=nbdkit --foreground ${listen} --filter=exportname file ${disk.path} exportname-strict=true exportname=\${NONCE}`,
  ]
}

/**
 * What a process that only moves blocks between one socket and one disk can do without. @resources is not among the
 * refused calls: GLib's thread pool in nbd-server hangs without sched_setattr.
 */
const hardening = [
  'NoNewPrivileges=yes',
  'CapabilityBoundingSet=',
  'AmbientCapabilities=',
  'ProtectSystem=strict',
  'PrivateTmp=yes',
  'PrivateIPC=yes',
  'ProtectHostname=yes',
  'ProtectClock=yes',
  'ProtectKernelTunables=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelLogs=yes',
  'ProtectControlGroups=yes',
  'ProtectProc=invisible',
  'ProcSubset=pid',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'LockPersonality=yes',
  'MemoryDenyWriteExecute=yes',
  'RemoveIPC=yes',
  'SystemCallArchitectures=native',
  'SystemCallFilter=@system-service',
  'SystemCallFilter=~@privileged',
  'SystemCallErrorNumber=EPERM',
]

/** The one socket and the one disk. Over SSH there is no network at all: a unix socket is reached through its path. */
const accessLines = (site: Site, run: string): string[] => {
  const { disk, link } = site.member
  const network =
    link.kind === 'plain'
      ? ['RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6']
      : ['PrivateNetwork=yes', 'RestrictAddressFamilies=AF_UNIX']
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
