import type { World } from './world.ts'

/**
 * How cloudvault is started again where nobody sits in front of it: by systemd, or as a daemon. Those start with an
 * empty environment, and whose profile and SSH keys these are is in it.
 */

/** What sudo says of the caller, and where a test keeps its state. */
const always = ['SUDO_USER', 'SUDO_UID', 'SUDO_GID', 'CLOUDVAULT_STATE', 'CLOUDVAULT_RUN'] as const

/** @returns program and arguments, with the environment in front where it matters */
export const inBackground = ({ self, env }: Pick<World, 'self' | 'env'>, args: readonly string[]): string[] =>
  startWith(env, [...always, 'SSH_AUTH_SOCK'], [...self, ...args])

/** The same for the next boot: an agent of today is not there then. */
export const atBoot = ({ self, env }: Pick<World, 'self' | 'env'>, args: readonly string[]): string[] =>
  startWith(env, always, [...self, ...args])

const startWith = (env: World['env'], names: readonly string[], argv: readonly string[]): string[] => {
  const kept = names.flatMap((name) => (env[name] ? [`${name}=${env[name]}`] : []))
  return kept.length > 0 ? ['/usr/bin/env', ...kept, ...argv] : [...argv]
}
