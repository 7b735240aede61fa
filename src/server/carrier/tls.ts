import { farLinkFiles } from '../../keyring/link-keys.ts'
import { serverUser } from '../../names.ts'
import type { LinkOf } from '../../profile/profile.ts'
import { hardening } from '../hardening.ts'
import { sessionScriptPath } from '../session.ts'
import { placeOf, type Site } from '../site.ts'
import { carrierUnit } from './unit.ts'

/**
 * stunnel before the export's unix socket: TLS 1.3, and nobody in without the key or a certificate. The export itself
 * has no network. What it is told is written by the session script; its keys are handed over by systemd.
 */
export const tlsUnit = (site: Site, link: LinkOf<'tls'>): string => {
  const { id, run, etc } = placeOf(site)
  // A port below 1024 takes a capability, and one of the machine, not of a user namespace.
  const low = link.port < 1024
  const rights = low
    ? ['CapabilityBoundingSet=CAP_NET_BIND_SERVICE', 'AmbientCapabilities=CAP_NET_BIND_SERVICE']
    : ['PrivateUsers=yes']
  return carrierUnit(site, 'TLS link', [
    `ExecStart=stunnel ${run}/link.conf`,
    `ExecStartPost=+${sessionScriptPath} linked ${id}`,
    ...farLinkFiles(link).map((file) => `LoadCredential=${file}:${etc}/${file}`),
    `User=${serverUser}`,
    `Group=${serverUser}`,
    ...hardening.filter((line) => !low || !/^(CapabilityBoundingSet|AmbientCapabilities)=/.test(line)),
    ...rights,
    'ProtectHome=yes',
    'PrivateDevices=yes',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6',
    `ReadWritePaths=${run}`,
  ])
}
