import { createHash } from 'node:crypto'

/**
 * Names carry ownership: everything cloudvault makes, here or on a server, is called cv-<vault>-<member>…, so that
 * `status` and `down` work from names alone when the receipt is lost.
 * A vault's name may hold dashes, a member's may not: the last dash of cv-<vault>-<member> separates them.
 */

export const vaultPattern = /^[a-z][a-z0-9-]{0,23}$/
export const memberPattern = /^[a-z][a-z0-9]{0,15}$/

/** dm-crypt mapping, NBD backend identifier, and stem of every unit name of one member. */
export const memberId = (vault: string, member: string): string => `cv-${vault}-${member}`

/** The dm-crypt device of one member. */
export const mapperPath = (vault: string, member: string): string => `/dev/mapper/${memberId(vault, member)}`

/** What each long-living local process of a member or a vault is called (transient unit or pid file). */
export const linkUnit = (vault: string, member: string): string => `${memberId(vault, member)}-link`
/** The local server that answers every request of a parked member with an error. */
export const parkUnit = (vault: string, member: string): string => `${memberId(vault, member)}-park`
export const monitorUnit = (vault: string): string => `cv-${vault}-monitor`
/** Transient, while the vault stands: its stop command is what takes the vault down when the machine goes down. */
export const keeperUnit = (vault: string): string => `cv-${vault}-keeper.service`
/** Installed by `enable`, removed by `disable`: brings the vault up at boot. */
export const bootUnit = (vault: string): string => `cloudvault-${vault}.service`
/** Installed by `enable` too: reads every copy by the clock. Not called like a boot unit, which a vault may be named after. */
export const scrubTimer = (vault: string): string => `cloudvault-scrub-${vault}.timer`
export const scrubService = (vault: string): string => `cv-${vault}-scrub.service`
/** The passphrase as `enable` keeps it for the boot, encrypted for this machine. */
export const bootCredential = (vault: string): string => `cloudvault.${vault}`

/** nftables takes no dashes in bare identifiers; a vault's name has no underscore, so this stays unambiguous. */
export const nftTable = (vault: string, member: string): string =>
  memberId(vault, member).replaceAll('-', '_')

/** iptables takes 28 characters; a digest has no second dash, so it is nobody's own name. */
export const iptablesChain = (vault: string, member: string): string => {
  const id = memberId(vault, member)
  return id.length <= 28 ? id : `cv-${createHash('sha256').update(id).digest('hex').slice(0, 16)}`
}

/** Paths and names on the far side of one member. */
export const farSide = (vault: string, member: string) => {
  const id = memberId(vault, member)
  return {
    /** Unit that serves the export; installed by provision, never enabled at boot. */
    unit: `${id}.service`,
    /** Unit of the far end of its link, where that is more than the export's own socket or port. */
    link: `${id}-link.service`,
    /** Configuration, firewall rules and the server-side receipt: root only. */
    etc: `/etc/cloudvault/${id}`,
    /** Nonce, lease and socket: gone after a reboot, and with it the right to serve. */
    run: `/run/cloudvault/${id}`,
    socket: `/run/cloudvault/${id}/export.sock`,
  }
}

/**
 * The two ends of a member's tunnel: a device name (at most 15 characters, so a digest) and addresses of a private
 * range of its own. The same everywhere, for whoever has the profile.
 */
export const tunnelOf = (vault: string, member: string) => {
  const digest = createHash('sha256').update(memberId(vault, member)).digest('hex')
  const range = `fd${digest.slice(0, 2)}:${digest.slice(2, 6)}:${digest.slice(6, 10)}`
  return { device: `cv${digest.slice(0, 8)}`, server: `${range}::1`, client: `${range}::2` }
}

/** Port of the export inside a tunnel. */
export const tunnelPort = 10809

/** System user on every server that owns the disks and runs the exports. */
export const serverUser = 'cloudvault'
