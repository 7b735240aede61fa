/**
 * One untrusted server: a Debian with systemd and sshd of its own in a container, on a copy of the image that it may
 * change at will. The lab, unlike cloudvault, can enter it from below: run commands in it, cut its power, spoil its disk.
 */
import { makeCgroup } from './cgroup.ts'
import type { RunOptions } from './client.ts'
import { exec, interact, LabError, launch, type Result, until } from './exec.ts'
import { ipv6, machine, net, type ServerName, serverNames } from './names.ts'
import { closeWire, makeMachine, openWire, removeMachine, setLink } from './network.ts'
import { initOf, pidsByArgument, pidsOfContainer, signal, startOf } from './processes.ts'
import { hostKeyFingerprint, prepareRoot, rootDir, serverLog } from './server-root.ts'
import { type Sniffer, startSniffer } from './sniffer.ts'
import type { LabState } from './state.ts'
import { type Shape, startWire, stopWire } from './wire.ts'

/** What systemd takes as "power off, in order": SIGRTMIN+4, in glibc's numbering. */
const powerOff = 38

/** Into all namespaces of a container, as root of its tree. */
const enter = (init: number): string[] => [
  'nsenter',
  '-t',
  String(init),
  '-m',
  '-u',
  '-i',
  '-n',
  '-p',
  '-C',
  '-r',
  '-w',
]

export class LabServer {
  readonly name: ServerName
  /** How the client's ssh calls it. */
  readonly sshAlias: string
  readonly address: string
  readonly address6: string
  /** Its root directory on this machine: disks in it can be read, spoilt and replaced. (/run is not in it: use `run`.) */
  readonly root: string
  #state: LabState
  #shape: Shape | null = null

  constructor(state: LabState, name: ServerName) {
    this.#state = state
    this.name = name
    this.sshAlias = `vps-${name}`
    this.address = net.server(serverNames.indexOf(name))
    this.address6 = ipv6(this.address)
    this.root = rootDir(state, name)
  }

  /** `SHA256:…` of its ed25519 host key, as a provider's panel would show it. */
  get hostKeyFingerprint(): string {
    return hostKeyFingerprint(this.#state, this.name)
  }

  #supervisor(): number | null {
    const word = `--machine=${machine(this.#state.id, this.name)}`
    return pidsByArgument(word).find((pid) => startOf(pid) !== '') ?? null
  }

  /** The host's pid of its init; null while it is off. */
  get init(): number | null {
    const supervisor = this.#supervisor()
    return supervisor === null ? null : initOf(supervisor)
  }

  get running(): boolean {
    return this.#supervisor() !== null
  }

  /**
   * Runs a command in it as root, from below (no SSH, works with its link cut); a string is a line for sh.
   * @throws LabError on a non-zero exit (unless allowFail), at the deadline, and when it is off.
   */
  async run(argv: readonly string[] | string, options: RunOptions = {}): Promise<Result> {
    const init = this.init
    if (init === null) throw new LabError(`${this.name} is off`)
    const words = typeof argv === 'string' ? ['sh', '-c', argv] : argv
    const env = {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: '/root',
      LANG: 'C.UTF-8',
      ...options.env,
    }
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
    return await exec([...enter(init), 'env', '-i', ...variables, ...words], {
      deadlineMs: options.deadlineMs ?? 120_000,
      allowFail: options.allowFail === true,
      ...(options.input === undefined ? {} : { input: options.input }),
    })
  }

  /** An interactive root shell on this terminal, or the given command. */
  shell(argv: readonly string[] = ['bash', '-l']): Promise<number> {
    const init = this.init
    if (init === null) throw new LabError(`${this.name} is off`)
    return interact([...enter(init), 'env', `TERM=${process.env.TERM ?? 'vt100'}`, 'HOME=/root', ...argv])
  }

  /**
   * Switches it on and waits for its sshd. /run is empty, the disk as it was.
   * @throws LabError with the end of its console when it is not up within a minute.
   */
  async start(): Promise<void> {
    if (this.running) throw new LabError(`${this.name} runs already`)
    const { id } = this.#state
    await prepareRoot(this.#state, this.name)
    await makeMachine(id, this.name, this.address)
    if (this.#shape !== null) await this.shape(this.#shape)
    const groups = makeCgroup(machine(id, this.name))
    const join =
      'for file in "$@"; do [ "$file" = -- ] && { shift; break; }; echo $$ > "$file"; shift; done; exec "$@"'
    launch(['sh', '-c', join, 'sh', ...groups, '--', ...this.#nspawn()], serverLog(this.#state, this.name))
    await until(`${this.name} boots`, 60_000, () => this.init !== null).catch((e: unknown) =>
      this.#explain(e),
    )
    // The container has one of its own; udev, which is not here, would give it this mode.
    await this.run(['chmod', '0666', '/dev/net/tun'], { allowFail: true })
    await until(`sshd of ${this.name} answers`, 60_000, () => this.#answers()).catch((e: unknown) =>
      this.#explain(e),
    )
  }

  #nspawn(): string[] {
    return [
      'systemd-nspawn',
      '--quiet',
      '--register=no',
      '--keep-unit',
      `--machine=${machine(this.#state.id, this.name)}`,
      `--hostname=${this.name}`,
      '--resolv-conf=off',
      '--timezone=off',
      '--link-journal=no',
      '--capability=CAP_NET_ADMIN',
      `--network-namespace-path=/run/netns/${machine(this.#state.id, this.name)}`,
      '-D',
      this.root,
      '--boot',
    ]
  }

  async #answers(): Promise<boolean> {
    const banner = `exec 3<>/dev/tcp/127.0.0.1/22 && IFS= read -r -t 10 text <&3 && case $text in SSH-*) exit 0;; esac; exit 1`
    const inside = ['ip', 'netns', 'exec', machine(this.#state.id, this.name)]
    const { code } = await exec([...inside, 'bash', '-c', banner], { allowFail: true, deadlineMs: 20_000 })
    // pam_nologin turns everybody but root away until systemd has removed this file.
    return code === 0 && (await this.run(['test', '!', '-e', '/run/nologin'], { allowFail: true })).code === 0
  }

  async #explain(error: unknown): Promise<never> {
    const log = await exec(['tail', '-n', '20', serverLog(this.#state, this.name)], { allowFail: true })
    throw new LabError(`${(error as Error).message}\n${log.stdout}`)
  }

  /** Shuts it down in order, as an operator's `reboot` would: services stop, the disk is synced, /run is gone. */
  async stop(): Promise<void> {
    const supervisor = this.#supervisor()
    if (supervisor === null) return
    const init = this.init
    if (init !== null) process.kill(init, powerOff)
    await until(`${this.name} shuts down`, 30_000, () => startOf(supervisor) === '').catch(() => {})
    await this.#gone()
  }

  /** Cuts its power: nobody is told, connections just fall silent; /run is gone. */
  async kill(): Promise<void> {
    if (!this.running) return
    await setLink(this.#state.id, this.name, false)
    await this.#gone()
  }

  async #gone(): Promise<void> {
    await until(`${this.name} is dead`, 20_000, () => {
      const supervisor = this.#supervisor()
      if (supervisor === null) return true
      const init = initOf(supervisor)
      if (init !== null) signal(init, 'SIGKILL')
      signal(supervisor, 'SIGKILL')
      return false
    })
    await stopWire(this.#state, this.name)
    await removeMachine(this.#state.id, this.name)
  }

  async reboot(): Promise<void> {
    await this.stop()
    await this.start()
  }

  /** Stops every process in it, without ending them: its kernel still acknowledges packets, nothing answers. */
  async freeze(): Promise<void> {
    const init = this.init
    if (init === null) throw new LabError(`${this.name} is off`)
    // Twice: a process may fork between being listed and being stopped.
    for (let round = 0; round < 3; round++) for (const pid of pidsOfContainer(init)) signal(pid, 'SIGSTOP')
  }

  async thaw(): Promise<void> {
    const init = this.init
    if (init === null) throw new LabError(`${this.name} is off`)
    for (const pid of pidsOfContainer(init).reverse()) signal(pid, 'SIGCONT')
  }

  /** Pulls its cable: frames vanish in silence, both ways. */
  async cutLink(): Promise<void> {
    await setLink(this.#state.id, this.name, false)
  }

  async restoreLink(): Promise<void> {
    await setLink(this.#state.id, this.name, true)
  }

  /** Listens to its wire. @param needles bytes that are counted wherever they pass */
  listen<Needle extends string>(needles: Readonly<Record<Needle, Uint8Array>>): Promise<Sniffer<Needle>> {
    return startSniffer(this.#state, this.name, needles)
  }

  /** Makes its link a slow one (both ways); null makes it native again. Frames in flight are lost at each change. */
  async shape(shape: Shape | null): Promise<void> {
    this.#shape = shape
    const { id } = this.#state
    await stopWire(this.#state, this.name)
    await closeWire(id, this.name)
    if (shape !== null) await startWire(this.#state, this.name, await openWire(id, this.name), shape)
  }
}
