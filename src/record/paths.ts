import { join } from 'node:path'

/**
 * Where this client keeps what it knows of a vault. The state directory survives reboots and belongs in a backup;
 * the run directory is gone with the kernel state that it describes.
 */

export interface VaultPaths {
  /** Everything of one vault: root only. */
  readonly state: string
  /** LUKS2 container without data; its volume key is the vault key. */
  readonly keyring: string
  readonly record: string
  readonly receipt: string
  /** Where the recovery kit is written unless somebody says otherwise. */
  readonly kit: string
  /** flock(1) on this file is held by every verb that changes the vault. */
  readonly lock: string
  /** A member's pinned host key in OpenSSH's format, for the link: the file holds this one key. */
  knownHosts(member: string): string
  /** Detached LUKS2 header of a member. */
  header(member: string): string
  /** Folder with the keys of a member's link, where its kind has any. */
  linkKeys(member: string): string
  /** flock(1) on this file: somebody is going to attach /dev/nbdN. One for all vaults. */
  device(index: number): string
  /** Sockets and pid files. */
  readonly run: string
  /** How far the resilver is that is at work now. */
  readonly progress: string
  /** How far the scrub is that is at work now. */
  readonly scrubbing: string
  /** What the last scrubs found. */
  readonly scrubs: string
  /** flock(1) on this file is held by who resilvers: the monitor, or a person's command. */
  readonly resilverLock: string
  /** flock(1) on this file is held by who replaces the connection of a member. */
  turn(member: string): string
  /** What the keeper runs when the machine goes down: see stack/keeper.ts. */
  readonly takeDown: string
  /** Where the parking server of a member listens. */
  parkSocket(member: string): string
  /** Local end of a member's link. */
  socket(member: string): string
  /** What the engine of a member's link reads, and where it complains. */
  linkConfig(member: string): string
  linkLog(member: string): string
  /** There while a member's tunnel is up. */
  tunnel(member: string): string
}

/** @param env CLOUDVAULT_STATE and CLOUDVAULT_RUN move the two roots; for tests and for unusual machines */
export const vaultPaths = (vault: string, env: Readonly<Record<string, string | undefined>>): VaultPaths => {
  const state = join(env.CLOUDVAULT_STATE ?? '/var/lib/cloudvault', vault)
  const runs = env.CLOUDVAULT_RUN ?? '/run/cloudvault'
  const run = join(runs, vault)
  return {
    state,
    keyring: join(state, 'keys.luks'),
    record: join(state, 'record.json'),
    receipt: join(state, 'receipt.json'),
    kit: join(state, `${vault}-recovery-kit.tar`),
    lock: join(state, 'lock'),
    knownHosts: (member) => join(state, 'known_hosts', member),
    header: (member) => join(state, 'headers', `${member}.luks`),
    linkKeys: (member) => join(state, 'links', member),
    device: (index) => join(runs, '.devices', `nbd${index}`),
    run,
    progress: join(run, 'resilver.json'),
    scrubbing: join(run, 'scrub.json'),
    scrubs: join(state, 'scrubs.json'),
    resilverLock: join(run, 'resilver.lock'),
    turn: (member) => join(run, `${member}.turn`),
    takeDown: join(run, 'take-down'),
    parkSocket: (member) => join(run, `${member}.park`),
    socket: (member) => join(run, `${member}.sock`),
    linkConfig: (member) => join(run, `${member}.link`),
    linkLog: (member) => join(run, `${member}.link.log`),
    tunnel: (member) => join(run, `${member}.tunnel`),
  }
}
