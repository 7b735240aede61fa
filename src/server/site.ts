import type { Host } from '../host/host.ts'
import { farSide, memberId } from '../names.ts'
import type { ServerMember } from '../profile/profile.ts'
import type { Platform } from './platform.ts'
import type { ServerReceipt } from './receipt.ts'

/** One member's place on its server: what every far-side step needs to know. */
export interface Site {
  readonly host: Host
  readonly vault: string
  readonly member: ServerMember
  readonly platform: Platform
  /** What this export made. */
  readonly own: ServerReceipt
  /** What exports on this server share: packages, user, session script. */
  readonly shared: ServerReceipt
  /** Addresses and networks that may reach the port; empty when no port is opened (link ssh). */
  readonly clients: readonly string[]
  /** Group that owns the block device; absent for a disk file. */
  readonly deviceGroup?: string
}

/** Names and paths of a site. */
export const placeOf = (site: Pick<Site, 'vault' | 'member'>) => ({
  id: memberId(site.vault, site.member.name),
  ...farSide(site.vault, site.member.name),
  unitFile: `/etc/systemd/system/${farSide(site.vault, site.member.name).unit}`,
  linkFile: `/etc/systemd/system/${farSide(site.vault, site.member.name).link}`,
})
