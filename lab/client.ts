/**
 * The trusted client: a Linux kernel of its own in User-Mode Linux, commanded over SSH on a wire that no test cuts.
 * The host's files are at /host, so it runs this checkout's cloudvault with this machine's node.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { shellLine } from '../src/host/quote.ts'
import {
  connectArgv,
  launchKernel,
  muxArgv,
  prepareClient,
  type Seated,
  scratch,
  umid,
  writeSetup,
} from './client-boot.ts'
import { exec, interact, LabError, type Result, until } from './exec.ts'
import { ipv6, net, type Seat } from './names.ts'
import { setLink } from './network.ts'
import { aliveSince, allPids, isTraced, pidsByArgument, pidTitle, signal, startOf } from './processes.ts'
import { type Running, type StartOptions, startInGuest } from './running.ts'
import type { LabState } from './state.ts'

export interface RunOptions {
  readonly input?: string | Uint8Array
  /** Milliseconds until the command is killed, in the guest too, and the call throws. Default 120,000. */
  readonly deadlineMs?: number
  /** A non-zero exit is an answer, not an error. */
  readonly allowFail?: boolean
  readonly env?: Readonly<Record<string, string>>
}

const defaultDeadline = 120_000

/** Words for the far shell; `timeout` ends the command in the guest even when the connection is gone. */
const line = (argv: readonly string[] | string, deadline: number, env: RunOptions['env']): string => {
  const words = typeof argv === 'string' ? ['sh', '-c', argv] : argv
  const variables = Object.entries(env ?? {}).map(([name, value]) => `${name}=${value}`)
  const prefix = variables.length > 0 ? ['env', ...variables] : []
  return shellLine(['timeout', '-k', '5', String(Math.ceil(deadline / 1000)), ...prefix, ...words])
}

export class LabClient {
  readonly name: Seat['name']
  #state: Seated
  #address: string

  constructor(state: LabState, seat: Seat) {
    this.name = seat.name
    this.#state = { ...state, seat }
    this.#address = seat.address
  }

  /** Where the servers see it come from, now. */
  get address(): string {
    return this.#address
  }

  /** A file of this machine as the guest sees it. */
  hostPath(file: string): string {
    return path.join('/host', file)
  }

  /** The checkout, as the guest sees it. */
  get repository(): string {
    return this.hostPath(this.#state.repository)
  }

  /**
   * Runs a command in the guest as root; a string is a line for sh.
   * @throws LabError on a non-zero exit (unless allowFail) and at the deadline.
   */
  async run(argv: readonly string[] | string, options: RunOptions = {}): Promise<Result> {
    const deadline = options.deadlineMs ?? defaultDeadline
    const started = Date.now()
    const result = await exec([...muxArgv(this.#state), line(argv, deadline, options.env)], {
      ...(options.input === undefined ? {} : { input: options.input }),
      deadlineMs: deadline + 15_000,
      allowFail: true,
    })
    const what = typeof argv === 'string' ? argv : argv.join(' ')
    if (result.code === 124 && Date.now() - started >= deadline)
      throw new LabError(
        `no end after ${deadline / 1000} s on the client: ${what.slice(0, 300)}\n${result.stderr}`,
      )
    if (result.code !== 0 && options.allowFail !== true)
      throw new LabError(
        `exit ${result.code} on the client: ${what.slice(0, 300)}\n${result.stderr || result.stdout}`,
      )
    return result
  }

  /** Runs this checkout's cloudvault in the guest. Any exit code is an answer. Default deadline 600,000 ms. */
  cloudvault(args: readonly string[], options: Omit<RunOptions, 'allowFail'> = {}): Promise<Result> {
    return this.run(this.cloudvaultArgv(args), { deadlineMs: 600_000, ...options, allowFail: true })
  }

  /** The words that start cloudvault in the guest. */
  cloudvaultArgv(args: readonly string[]): string[] {
    return [this.hostPath(this.#state.node), path.join(this.repository, 'bin/cloudvault.js'), ...args]
  }

  /** Starts a command that goes on (a writer, a prompt with `tty: true`). */
  start(argv: readonly string[] | string, options: StartOptions = {}): Running {
    return startInGuest(this.#state, typeof argv === 'string' ? ['sh', '-c', argv] : argv, options)
  }

  /** An interactive session on this terminal: a root shell, or the given command. */
  shell(argv: readonly string[] = []): Promise<number> {
    const [ssh = 'ssh', ...rest] = muxArgv(this.#state)
    return interact([ssh, '-t', ...rest, ...(argv.length > 0 ? [shellLine(argv)] : [])])
  }

  async putFile(file: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
    const script = 'mkdir -p "$(dirname "$1")" && umask 077 && cat > "$1" && chmod "$2" "$1"'
    await this.run(['sh', '-c', script, 'sh', file, mode.toString(8)], { input: content })
  }

  async readFile(file: string): Promise<string> {
    return (await this.run(['cat', file])).stdout
  }

  /** Moves the client to another address of 10.77.0.0/24, as a roaming laptop would. It stays over `boot()`. */
  async setAddress(address: string): Promise<void> {
    if (address === this.#address) return
    const [now, before] = [address, this.#address]
    await this.run(
      `ip addr add ${now}/${net.prefix} dev vec0 && ip addr del ${before}/${net.prefix} dev vec0 &&
       ip addr add ${ipv6(now)}/64 dev vec0 nodad && ip addr del ${ipv6(before)}/64 dev vec0`,
    )
    this.#address = address
    writeSetup(this.#state, address)
  }

  /** Pulls the client's cable: no server is reached any more; the lab's own commands still are. */
  async cutLink(): Promise<void> {
    await setLink(this.#state.id, this.name, false)
  }

  async restoreLink(): Promise<void> {
    await setLink(this.#state.id, this.name, true)
  }

  /** Whether its kernel runs. */
  get running(): boolean {
    return this.#kernelPids().length > 0
  }

  /**
   * Boots the kernel on the client's disk and connects to it.
   * @throws LabError with the end of its console when it does not come up within two minutes.
   */
  async boot(): Promise<void> {
    if (this.running) throw new LabError('the client runs already')
    await prepareClient(this.#state)
    const pid = launchKernel(this.#state, this.#address)
    await this.#booted(pid)
    await this.#connect()
  }

  /**
   * Reboots it as a person does, by `systemctl reboot`: with everything that systemd does before. User-Mode Linux
   * starts again by itself, in the same process.
   * @param deadlineMs for the way down; default 300,000
   * @returns milliseconds from the command to the new kernel's sshd
   * @throws LabError when it does not go down within the deadline, or does not come up again
   */
  async reboot(deadlineMs = 300_000): Promise<number> {
    const began = Date.now()
    const [pid] = this.#kernelPids()
    if (pid === undefined) throw new LabError('the client does not run')
    const booted = path.join(scratch(this.#state), 'booted')
    rmSync(booted, { force: true })
    await this.run('systemctl reboot', { allowFail: true, deadlineMs: 30_000 }).catch(() => {})
    await until('the client goes down and boots', deadlineMs, () => existsSync(booted), 250)
    this.#endMaster()
    await this.#connect()
    return Date.now() - began
  }

  /**
   * Its kernel stops where it is, and everything in it: the world sees a laptop that sleeps. (Suspend does not exist in
   * User-Mode Linux. What differs: all clocks of this one jump on waking, a suspended one's CLOCK_MONOTONIC does not.)
   */
  standStill(): void {
    // Its user processes are traced by the kernel, which alone may stop and start them.
    for (const pid of this.#kernelPids().filter((one) => !isTraced(one))) signal(pid, 'SIGSTOP')
  }

  wake(): void {
    for (const pid of this.#kernelPids().filter((one) => !isTraced(one))) signal(pid, 'SIGCONT')
  }

  async #booted(pid: number): Promise<void> {
    const start = startOf(pid)
    const booted = path.join(scratch(this.#state), 'booted')
    const console = (): string =>
      readFileSync(path.join(scratch(this.#state), 'console.log'), 'utf8')
        .split('\n')
        .slice(-15)
        .join('\n')
    await until('the client boots', 120_000, () => {
      if (!aliveSince(pid, start))
        throw new LabError(`the client's kernel ended while booting:\n${console()}`)
      return existsSync(booted)
    }).catch((error: unknown) => {
      throw error instanceof LabError ? new LabError(`${error.message}\n${console()}`) : error
    })
  }

  /** One patient connection that all commands share: a handshake in the guest takes a second or more. */
  async #connect(): Promise<void> {
    const log = path.join(scratch(this.#state), 'ssh.log')
    await until(
      'sshd of the client answers',
      120_000,
      async () =>
        (await exec(connectArgv(this.#state), { allowFail: true, deadlineMs: 110_000, logFile: log }))
          .code === 0,
    )
  }

  #kernelPids(): number[] {
    return pidsByArgument(`umid=${umid(this.#state)}`).filter((pid) => startOf(pid) !== '')
  }

  /** Power cut: the kernel and all it held in memory are gone, its disk stays as it was. */
  async kill(): Promise<void> {
    await until('the client is dead', 20_000, () => {
      const pids = this.#kernelPids()
      for (const pid of pids) signal(pid, 'SIGKILL')
      return pids.length === 0
    })
    this.#endMaster()
  }

  /** The shared connection to a kernel that is gone. */
  #endMaster(): void {
    const socket = muxArgv(this.#state)[2] ?? ''
    for (const pid of allPids()) if (isMaster(pid, socket)) signal(pid, 'SIGKILL')
    rmSync(socket, { force: true })
  }
}

/**
 * OpenSSH's master renames itself (`ssh: /path/of/socket [mux]`) only when it forked itself. One that is left alive
 * notices the reboot later, ends, and takes the socket of its successor with it.
 */
const isMaster = (pid: number, socket: string): boolean =>
  pidTitle(pid).startsWith(`ssh: ${socket} `) || pidTitle(pid).includes(` -S ${socket} `)
