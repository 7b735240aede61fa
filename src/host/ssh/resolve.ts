import { homedir } from 'node:os'
import { Exit, Fault } from '../../fault.ts'
import type { Host } from '../host.ts'

/**
 * Where an SSH target really is. OpenSSH itself reads its configuration (`ssh -G`): Include, Match and the rest are
 * not to be copied by hand. Under sudo it is read as the user who typed the command, for that is whose aliases, keys
 * and known_hosts are meant.
 */

type Env = Readonly<Record<string, string | undefined>>

export interface ResolvedSsh {
  /** As the profile says it: an alias, user@host[:port] or ssh://… */
  readonly target: string
  readonly host: string
  readonly port: number
  readonly user: string
  /** Private keys the configuration names, `~` expanded; not all of them need to exist. */
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
 * Milliseconds for a program that only looks something up on this machine: nothing but a machine that is very busy, or a
 * name service that does not answer, makes it slow.
 */
export const lookupMs = 30_000

/** user@host:port is what people write; `ssh` itself takes it only as a URL. */
const targetPattern =
  /^(?:(?<user>[^@\s/:]+)@)?(?<host>\[[0-9a-fA-F:.%]+\]|[^\s/:@[\]]+)(?::(?<port>\d{1,5}))?$/

/**
 * @param local this machine
 * @param target alias, user@host[:port] or ssh:// URL; anything starting with "-" is refused (it would be an option)
 * @param env SUDO_USER and SSH_AUTH_SOCK are read from it
 * @throws Fault 2 when the target is not usable, 3 when there is no OpenSSH client
 */
export const resolveSsh = async (local: Host, target: string, env: Env): Promise<ResolvedSsh> => {
  const words = targetWords(target)
  const configUser = process.geteuid?.() === 0 ? sudoUser(env) : undefined
  const argv = [...asUser(configUser), 'ssh', '-G', ...words]
  const output = await local.run({ argv, root: false, deadline: lookupMs })
  if (output.code !== 0) {
    throw new Fault(Exit.usage, `ssh does not understand the target ${target}`, {
      detail: output.stderr,
      next: `ssh -G -- ${target}`,
    })
  }
  const home = configUser ? await homeOf(local, configUser) : (env.HOME ?? homedir())
  return { ...readConfiguration(output.stdout, target, home, env), ...(configUser ? { configUser } : {}) }
}

/** The user behind sudo, unless that is root as well. */
const sudoUser = (env: Env): string | undefined => {
  const user = env.SUDO_USER
  return user && user !== 'root' && /^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?$/.test(user) ? user : undefined
}

/** Words that make what follows run as another user. */
export const asUser = (user: string | undefined): string[] => (user ? ['runuser', '-u', user, '--'] : [])

/** A target as arguments of `ssh`. */
const targetWords = (target: string): string[] => {
  const refuse = (why: string): never => {
    throw new Fault(Exit.usage, `${JSON.stringify(target)} is no SSH target: ${why}`, {
      next: 'write an alias of ~/.ssh/config, user@host or user@host:port',
    })
  }
  if (target.startsWith('-')) refuse('it would be read as an option')
  if (/^ssh:\/\//.test(target)) return ['--', target]
  const parts = targetPattern.exec(target)?.groups
  const host = parts?.host?.replace(/^\[|\]$/g, '')
  if (!parts || !host || host.startsWith('-') || parts.user?.startsWith('-'))
    return refuse('it cannot be read')
  const options = [...(parts.user ? ['-l', parts.user] : []), ...(parts.port ? ['-p', parts.port] : [])]
  return [...options, '--', host]
}

/** The lines of `ssh -G` that matter. */
const readConfiguration = (text: string, target: string, home: string, env: Env): ResolvedSsh => {
  const lines = text.split('\n').map((line) => {
    const space = line.indexOf(' ')
    return space < 0 ? [line, ''] : [line.slice(0, space), line.slice(space + 1).trim()]
  })
  const all = (key: string): string[] =>
    lines.filter(([name]) => name === key).map(([, value]) => value ?? '')
  const one = (key: string): string | undefined => {
    const value = all(key)[0]
    return value === undefined || value === '' || value === 'none' ? undefined : value
  }
  const expand = (path: string): string => expandPath(path, home, env)
  const agent = all('identityagent')[0] === 'none' ? undefined : (one('identityagent') ?? env.SSH_AUTH_SOCK)
  const agentPath = agent === 'SSH_AUTH_SOCK' ? env.SSH_AUTH_SOCK : agent
  const proxyJump = one('proxyjump')
  const proxyCommand = one('proxycommand')
  const hostKeyAlias = one('hostkeyalias')
  return {
    target,
    host: one('hostname') ?? target,
    port: Number(one('port') ?? 22),
    user: one('user') ?? 'root',
    identityFiles: all('identityfile')
      .filter((file) => file !== 'none')
      .map(expand),
    identitiesOnly: one('identitiesonly') === 'yes',
    knownHostsFiles: [...all('userknownhostsfile'), ...all('globalknownhostsfile')]
      .flatMap((files) => files.split(/\s+/))
      .filter((file) => file !== '' && file !== 'none')
      .map(expand),
    ...(agentPath ? { identityAgent: expand(agentPath) } : {}),
    ...(proxyJump ? { proxyJump } : {}),
    ...(proxyCommand && !proxyJump ? { proxyCommand } : {}),
    ...(hostKeyAlias ? { hostKeyAlias } : {}),
  }
}

/** `~`, `%d` and `${VAR}`, the forms OpenSSH leaves unexpanded in -G output. */
const expandPath = (path: string, home: string, env: Env): string =>
  path
    .replace(/^~(?=\/|$)/, home)
    .replaceAll('%d', home)
    .replace(/\$\{(\w+)\}|^\$(\w+)$/g, (whole, braced, bare) => env[String(braced ?? bare)] ?? whole)

const homeOf = async (local: Host, user: string): Promise<string> => {
  const output = await local.run({ argv: ['getent', 'passwd', user], root: false, deadline: lookupMs })
  const home = output.code === 0 ? output.stdout.trim().split(':')[5] : undefined
  if (!home) throw new Fault(Exit.missing, `the home directory of ${user} (SUDO_USER) cannot be found`)
  return home
}
