import type { Host } from '../host.ts'

/**
 * Where an SSH target really is. OpenSSH itself reads its configuration (`ssh -G`): Include, Match and the rest are
 * not to be copied by hand.
 */

export interface ResolvedSsh {
  /** As the profile says it: an alias, user@host[:port] or ssh://… */
  readonly target: string
  readonly host: string
  readonly port: number
  readonly user: string
  /** Private keys that exist in the configuration, `~` expanded; not all of them need to exist on disk. */
  readonly identityFiles: readonly string[]
  /** True when only these files may be offered (IdentitiesOnly). */
  readonly identitiesOnly: boolean
  /** Socket of the agent to use; absent when there is none or the configuration says `none`. */
  readonly identityAgent?: string
  readonly proxyJump?: string
  readonly proxyCommand?: string
  /** known_hosts files the user trusts already. */
  readonly knownHostsFiles: readonly string[]
  /** Name under which known_hosts holds the key, when the configuration gives one. */
  readonly hostKeyAlias?: string
  /** The user whose configuration was read, when we are root under sudo; jump hosts are reached as that user. */
  readonly configUser?: string
}

/**
 * @param local this machine
 * @param target alias, user@host[:port] or ssh:// URL; anything starting with "-" is refused (it would be an option)
 * @param env SUDO_USER and SSH_AUTH_SOCK are read from it
 * @throws Fault 2 when the target is not usable, 3 when there is no OpenSSH client
 */
export const resolveSsh = async (
  local: Host,
  target: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<ResolvedSsh> => {
  throw new Error(`not yet: ${local.name} ${target} ${env['HOME']}`)
}
