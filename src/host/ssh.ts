import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Client, ConnectConfig } from 'ssh2'
import { Exit, Fault } from '../fault.ts'
import type { Command, Host, Output } from './host.ts'
import { loginMethods } from './ssh/auth.ts'
import { SshChannels } from './ssh/channels.ts'
import { openJump } from './ssh/jump.ts'
import { algorithmsOf, type HostKey, hostKeyOf } from './ssh/key.ts'
import type { ResolvedSsh } from './ssh/resolve.ts'
import { establish } from './ssh/trust.ts'

/**
 * A server over SSH. The only file that knows ssh2 and the only place that makes a client, because ssh2 trusts every
 * host key unless it is told otherwise: here it is always told.
 */

export { fingerprintPattern, type HostKey, knownHostsLine } from './ssh/key.ts'
export { opensshArguments } from './ssh/openssh.ts'
export { type ResolvedSsh, resolveSsh } from './ssh/resolve.ts'

/** A server over SSH, its key verified. */
export interface RemoteHost extends Host {
  readonly hostKey: HostKey
  readonly resolved: ResolvedSsh
  /** What the server sees us as: an IPv4 or IPv6 address. Behind a jump host it is the jump host's. */
  readonly clientAddress: string
  /** The login user; commands that need root go through `sudo -n` unless it is root. */
  readonly user: string
  /** True when the server's key was trusted because the user's known_hosts has it, not because of a pin. */
  readonly trustedByKnownHosts: boolean
  /** Ends the connection; never throws, never takes longer than 2 s. */
  close(): Promise<void>
}

export interface ConnectOptions {
  /** The member's name: stands in errors and dry runs. */
  readonly name: string
  /** "SHA256:…"; only this key is accepted. */
  readonly pin?: string
  /** Asked without a pin and without a match in known_hosts; no connection is open meanwhile. */
  readonly onUnknownKey?: (fingerprint: string, type: string) => Promise<boolean>
  /** Milliseconds for one attempt to connect and log in. */
  readonly deadlineMs: number
  readonly signal: AbortSignal
}

/**
 * Connects and logs in, after the host key was verified.
 * @throws Fault 3 no usable key or right, 4 unreachable, 5 host key unknown or different, 130 interrupted
 */
export const connectSsh = async (
  local: Host,
  resolved: ResolvedSsh,
  options: ConnectOptions,
): Promise<RemoteHost> => {
  const { value: login, trustedByKnownHosts } = await establish(local, resolved, options, (types, accept) =>
    attempt(resolved, options, types, accept),
  )
  const channels = new SshChannels(login.client, options.name)
  try {
    const self = await whoAmI(channels, resolved.user, options.deadlineMs)
    return new SshHost(login, channels, resolved, options.name, { ...self, trustedByKnownHosts })
  } catch (error) {
    await login.end()
    throw error
  }
}

/** A connection that is logged in. */
interface Login {
  readonly client: Client
  readonly hostKey: HostKey
  end(): Promise<void>
}

class SshHost implements RemoteHost {
  readonly name: string
  readonly hostKey: HostKey
  readonly resolved: ResolvedSsh
  readonly user: string
  readonly clientAddress: string
  readonly trustedByKnownHosts: boolean
  readonly #login: Login
  readonly #channels: SshChannels
  readonly #root: boolean

  constructor(
    login: Login,
    channels: SshChannels,
    resolved: ResolvedSsh,
    name: string,
    self: { root: boolean; clientAddress: string; trustedByKnownHosts: boolean },
  ) {
    this.name = name
    this.hostKey = login.hostKey
    this.resolved = resolved
    this.user = resolved.user
    this.clientAddress = self.clientAddress
    this.trustedByKnownHosts = self.trustedByKnownHosts
    this.#login = login
    this.#channels = channels
    this.#root = self.root
  }

  run(command: Command): Promise<Output> {
    return this.#channels.run(command, command.root !== false && !this.#root)
  }

  close(): Promise<void> {
    return this.#login.end()
  }
}

/** Asks the server who we are there. */
const whoAmI = async (
  channels: SshChannels,
  user: string,
  deadline: number,
): Promise<{ root: boolean; clientAddress: string }> => {
  const ask = `id -u; printf '%s\\n' "$SSH_CONNECTION"`
  const output = await channels.run({ argv: ['sh', '-c', ask], deadline }, false)
  const [uid = '', connection = ''] = output.stdout.split('\n')
  const address = connection.split(' ')[0] ?? ''
  if (output.code !== 0 || !/^\d+$/.test(uid) || isIP(address.replace(/%.*$/, '')) === 0) {
    throw new Fault(Exit.unreachable, `the server does not run commands for ${user}`, {
      member: channels.name,
      detail: output.stderr || output.stdout,
    })
  }
  return { root: uid === '0', clientAddress: address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/, '') }
}

/**
 * One connection attempt that offers only these host key types and goes on only when `accept` says so.
 * @returns the login, or the key that was refused
 */
const attempt = async (
  resolved: ResolvedSsh,
  options: ConnectOptions,
  types: readonly string[],
  accept: (key: HostKey) => boolean,
): Promise<{ login: Login } | { refused: HostKey | null }> => {
  const ssh2 = (await import('ssh2')).default
  const methods = await loginMethods(
    resolved,
    options.name,
    (bytes) => !(ssh2.utils.parseKey(bytes) instanceof Error),
  )
  const jump = openJump(resolved)
  const client = new ssh2.Client()
  let seen: HostKey | null = null
  const config: ConnectConfig = {
    ...(jump ? { sock: jump.stream as Duplex as never } : { host: resolved.host, port: resolved.port }),
    username: resolved.user,
    readyTimeout: options.deadlineMs,
    keepaliveInterval: 5000,
    keepaliveCountMax: 3,
    algorithms: { serverHostKey: types.flatMap(algorithmsOf) as never },
    authHandler: methods as never,
    hostVerifier: (blob: Buffer) => {
      seen = hostKeyOf(blob)
      return seen !== null && accept(seen)
    },
  }
  const outcome = await login(client, config, options.signal)
  const end = () => endClient(client, jump)
  if (outcome === null && seen !== null) return { login: { client, hostKey: seen, end } }
  await end()
  if (options.signal.aborted) throw new Fault(Exit.interrupted, 'interrupted while connecting')
  if (outcome && wasRefused(outcome)) return { refused: seen }
  throw connectFault(outcome, resolved, options.name, jump?.complaint() ?? '', methods.length)
}

/** Waits for the login; null when it worked, else the error. The listener stays: a later error must not be a crash. */
const login = (client: Client, config: ConnectConfig, signal: AbortSignal): Promise<SshError | null> =>
  new Promise((resolve) => {
    const stop = (): void => {
      client.destroy()
      resolve(new Error('interrupted'))
    }
    signal.addEventListener('abort', stop, { once: true })
    const settle = (result: SshError | null): void => {
      signal.removeEventListener('abort', stop)
      resolve(result)
    }
    client.on('ready', () => settle(null))
    client.on('error', settle)
    client.on('close', () => settle(new Error('the server closed the connection')))
    if (signal.aborted) return stop()
    client.connect(config)
  })

type SshError = Error & { level?: string; code?: string }

/** Our own "no" to the key, or no common key type: both mean that the wanted key is not there. */
const wasRefused = (error: SshError): boolean =>
  /verification failed/.test(error.message) || /no matching host key/i.test(error.message)

const connectFault = (
  error: SshError | null,
  resolved: ResolvedSsh,
  member: string,
  complaint: string,
  methods: number,
): Fault => {
  const where = `${resolved.user}@${resolved.host} port ${resolved.port}`
  const detail = [error?.message ?? '', complaint].filter(Boolean).join('\n')
  if (error?.level === 'client-authentication') {
    const tried = methods === 0 ? 'no agent and no key file was found' : 'it took none of the keys offered'
    return new Fault(Exit.missing, `the server does not let us in as ${where}: ${tried}`, {
      member,
      next: `ssh ${resolved.target} true   (must work without a question; sudo drops SSH_AUTH_SOCK)`,
      detail,
    })
  }
  return new Fault(Exit.unreachable, `${where} cannot be reached over SSH`, {
    member,
    next: `ssh ${resolved.target} true`,
    detail,
    ...(error ? { cause: error } : {}),
  })
}

/** Polite first, then by force: a frozen server does not say goodbye. */
const endClient = (client: Client, jump: { close(): void } | null): Promise<void> =>
  new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer)
      client.destroy()
      jump?.close()
      resolve()
    }
    const timer = setTimeout(finish, 1500)
    client.once('close', finish)
    client.end()
  })
