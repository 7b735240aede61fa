import { shellLine } from '../quote.ts'
import { algorithmsOf, type HostKey } from './key.ts'
import { asUser, type ResolvedSsh } from './resolve.ts'

/** Seconds OpenSSH may take to connect, and after how many silent seconds (three times this) it gives a link up. */
const connectSeconds = 20
const aliveSeconds = 5

/**
 * Options for OpenSSH's own client, which carries the data (`ssh -N -L`). No configuration file is read: everything
 * it may use is said here, the pinned key included, so that it goes where ssh2 went or nowhere.
 *
 * @param knownHostsFile holds exactly one line, made by knownHostsLine(hostKeyAlias, hostKey)
 * @returns what follows `ssh -N -L …`: options, `--`, and the host itself
 */
export const opensshArguments = (
  resolved: ResolvedSsh,
  knownHostsFile: string,
  hostKeyAlias: string,
  hostKey: Pick<HostKey, 'type'>,
): string[] => {
  const options: string[] = [
    'BatchMode=yes',
    `UserKnownHostsFile=${knownHostsFile}`,
    'GlobalKnownHostsFile=/dev/null',
    `HostKeyAlias=${hostKeyAlias}`,
    'StrictHostKeyChecking=yes',
    'UpdateHostKeys=no',
    `HostKeyAlgorithms=${algorithmsOf(hostKey.type).join(',')}`,
    `User=${resolved.user}`,
    `Port=${resolved.port}`,
    `ConnectTimeout=${connectSeconds}`,
    `ServerAliveInterval=${aliveSeconds}`,
    'ServerAliveCountMax=3',
    'ExitOnForwardFailure=yes',
    'ControlPath=none',
    'ForwardAgent=no',
    ...(resolved.identityAgent ? [`IdentityAgent=${resolved.identityAgent}`] : ['IdentityAgent=none']),
    ...resolved.identityFiles.map((file) => `IdentityFile=${file}`),
    ...(resolved.identitiesOnly || !resolved.identityAgent ? ['IdentitiesOnly=yes'] : []),
    ...proxyOption(resolved),
  ]
  return ['-F', '/dev/null', ...options.flatMap((option) => ['-o', option]), '--', resolved.host]
}

/**
 * The command that reaches a server behind others, as argv; null when it is reached directly. The jump hosts are
 * OpenSSH's own business: the user's configuration and known_hosts hold for them.
 */
export const proxyArgv = (resolved: ResolvedSsh): string[] | null => {
  if (resolved.proxyJump) {
    const hops = resolved.proxyJump.split(',')
    const last = (hops.pop() ?? '').replace(/^ssh:\/\//, '')
    const port = /^(.*[^:]):(\d+)$/.exec(last)
    const via = hops.length > 0 ? ['-J', hops.join(',')] : []
    const target = port?.[1] && port[2] ? ['-p', port[2], '--', port[1]] : ['--', last]
    const forward = `[${resolved.host}]:${resolved.port}`
    return [...asUser(resolved.configUser), 'ssh', '-o', 'BatchMode=yes', ...via, '-W', forward, ...target]
  }
  if (resolved.proxyCommand) {
    const line = expandTokens(resolved.proxyCommand, resolved)
    return [...asUser(resolved.configUser), 'sh', '-c', `exec ${line}`]
  }
  return null
}

/** OpenSSH expands % itself in ProxyCommand, so ours is written with every % doubled. */
const proxyOption = (resolved: ResolvedSsh): string[] => {
  const argv = proxyArgv(resolved)
  return argv ? [`ProxyCommand=${shellLine(argv).replaceAll('%', '%%')}`] : []
}

const expandTokens = (command: string, resolved: ResolvedSsh): string =>
  command.replace(/%([%hnpr])/g, (_, token: string) => {
    const values: Record<string, string> = {
      '%': '%',
      h: resolved.host,
      n: resolved.host,
      p: String(resolved.port),
      r: resolved.user,
    }
    return values[token] ?? ''
  })
