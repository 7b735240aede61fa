import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { execa } from 'execa'
import { Exit, Fault } from '../fault.ts'
import { unwritable } from './files.ts'
import { type Command, defaultDeadline, type LocalMachine, type Output } from './host.ts'
import { Secret } from './secret.ts'

/** Starting flock(1) and touching its file; waiting for somebody else comes on top. */
const lockDeadline = 30_000

/**
 * This machine. The only place that starts programs here: C locale (we parse), an own process group (a Ctrl-C on the
 * terminal must not kill a half-done mkfs), a deadline on every one, secrets by stdin only.
 */
export class LocalHost implements LocalMachine {
  readonly name = 'here'
  readonly #env: Record<string, string>

  /** @param env environment to pass on; only what tools need is taken from it */
  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.#env = toolEnvironment(env)
  }

  async run(command: Command): Promise<Output> {
    const result = await this.#execute(command)
    return { code: result.code, stdout: Buffer.from(result.stdout).toString('utf8'), stderr: result.stderr }
  }

  async runForSecret(command: Command): Promise<{ code: number | null; secret: Secret; stderr: string }> {
    const result = await this.#execute(command)
    return { code: result.code, secret: new Secret(result.stdout), stderr: result.stderr }
  }

  async runOnTerminal(command: Command): Promise<number | null> {
    const [program = '', ...args] = command.argv
    const deadline = command.deadline ?? defaultDeadline
    // Not detached: only the session that has the terminal may read from it.
    const result = await execa(program, args, {
      stdio: 'inherit',
      reject: false,
      timeout: deadline,
      forceKillAfterDelay: 1000,
      extendEnv: false,
      env: this.#env,
    })
    if (result.timedOut)
      throw new Fault(Exit.unreachable, `${program} did not finish within ${deadline / 1000} s`)
    if (result.failed && result.exitCode === undefined && result.signal === undefined)
      throw notInstalled(program, result.cause)
    return result.exitCode ?? null
  }

  /** A kernel lock held by a child that ends with us: a file's age or a pid in it can lie after a crash or a suspend. */
  async lock(path: string, what: string, waitMs = 0): Promise<{ release(): Promise<void> }> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch((error: unknown) => {
      throw unwritable('the state directory', dirname(path), error).with({ stands: 'nothing was changed' })
    })
    // flock(1) would make it open to others. What keeps us from making it, it tells.
    await open(path, 'a', 0o600).then(
      (file) => file.close(),
      () => {},
    )
    const holder = execa(
      'flock',
      ['--timeout', `${waitMs / 1000}`, '--conflict-exit-code', '6', path, 'sh', '-c', 'echo held; exec cat'],
      {
        detached: true,
        reject: false,
        env: this.#env,
        extendEnv: false,
      },
    )
    const held = await Promise.race([
      new Promise<true>((resolve) => holder.stdout.once('data', () => resolve(true))),
      holder.then((ended) => ended),
      goneQuiet(lockDeadline + waitMs),
    ])
    if (held === 'stuck') holder.kill('SIGKILL')
    if (held === 'stuck' || (held !== true && held.exitCode !== 6)) {
      throw new Fault(Exit.missing, `the lock ${path} cannot be taken`, {
        stands: 'nothing was changed',
        next: `findmnt -T ${dirname(path)}`,
        detail: held === 'stuck' ? `no answer within ${lockDeadline / 1000} s` : held.stderr,
      })
    }
    if (held !== true) {
      throw new Fault(Exit.busy, `another cloudvault is at work on ${what}`, {
        stands: 'nothing was changed',
        next: 'wait for it to finish, then try again',
      })
    }
    return {
      release: async () => {
        holder.stdin.end()
        await holder
      },
    }
  }

  /** The lock is held by a child that ends when its stdin does, so with us. */
  stayAwake(why: string, what = 'sleep'): { release(): Promise<void> } {
    const words = [`--what=${what}`, '--mode=block', '--who=cloudvault', `--why=${why}`, 'cat']
    const holder = execa('systemd-inhibit', words, {
      detached: true,
      reject: false,
      stdout: 'ignore',
      stderr: 'ignore',
      env: this.#env,
      extendEnv: false,
    })
    holder.stdin.on('error', () => {}) // it ended at once: there is no logind, or no such program
    return {
      release: async () => {
        holder.stdin.end()
        await Promise.race([holder, goneQuiet(2000)])
      },
    }
  }

  async #execute(command: Command): Promise<{ code: number | null; stdout: Uint8Array; stderr: string }> {
    const [program = '', ...args] = command.argv
    const deadline = command.deadline ?? defaultDeadline
    const input = command.input instanceof Secret ? command.input.reveal() : command.input
    const running = execa(program, args, {
      ...(input === undefined ? { stdin: 'ignore' as const } : { input }),
      detached: true,
      cleanup: false,
      reject: false,
      timeout: deadline,
      ...(command.signal ? { cancelSignal: command.signal } : {}),
      forceKillAfterDelay: 1000,
      encoding: 'buffer',
      stripFinalNewline: false,
      maxBuffer: 16 * 1024 * 1024,
      extendEnv: false,
      env: this.#env,
    })
    const result = await Promise.race([running, goneQuiet(deadline + 3000)])
    if (result === 'stuck') {
      // In D state not even SIGKILL ends it (a read from a silent NBD device). Leave it: waiting would hang us too.
      running.unref()
      // Its pipes too: they would keep this process from ending for as long as that one hangs.
      for (const pipe of [running.stdin, running.stdout, running.stderr]) pipe?.destroy()
      throw new Fault(Exit.unreachable, `${program} hangs in the kernel and cannot be ended`, {
        detail: `pid ${running.pid}`,
      })
    }
    if (result.timedOut) {
      throw new Fault(Exit.unreachable, `${program} did not finish within ${deadline / 1000} s`, {
        detail: Buffer.from(result.stderr).toString('utf8'),
      })
    }
    // A program that could not be started has neither an exit code nor a signal.
    if (result.failed && !result.isCanceled && result.exitCode === undefined && result.signal === undefined) {
      throw notInstalled(program, result.cause)
    }
    return {
      code: result.exitCode ?? null,
      stdout: result.stdout,
      stderr: Buffer.from(result.stderr).toString('utf8'),
    }
  }
}

/**
 * A timer that loses every race but the one against a process that cannot be killed. It counts seconds in which this
 * machine ran: after a sleep a program has had no chance yet to answer, though all its time has passed.
 */
const goneQuiet = async (ms: number): Promise<'stuck'> => {
  for (let left = ms; left > 0; left -= 1000) {
    await new Promise((resolve) => {
      setTimeout(resolve, Math.min(left, 1000)).unref()
    })
  }
  return 'stuck'
}

const notInstalled = (program: string, cause: unknown): Fault =>
  new Fault(Exit.missing, `${program} is not installed on this machine`, {
    next: `apt-get install ${packageOf[program] ?? program}`,
    cause,
  })

/** Debian package that holds a program, where its name differs. */
const packageOf: Record<string, string> = {
  cryptsetup: 'cryptsetup-bin',
  btrfs: 'btrfs-progs',
  'mkfs.btrfs': 'btrfs-progs',
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  modprobe: 'kmod',
  dmsetup: 'dmsetup',
  fuser: 'psmisc',
  'systemd-cryptenroll': 'systemd-cryptsetup',
}

/** sbin is missing from a plain user's PATH; everything parsed needs the C locale. */
const toolEnvironment = (env: Readonly<Record<string, string | undefined>>): Record<string, string> => {
  const kept: Record<string, string> = { LC_ALL: 'C.UTF-8' }
  for (const name of [
    'HOME',
    'USER',
    'LOGNAME',
    'SSH_AUTH_SOCK',
    'XDG_RUNTIME_DIR',
    'DBUS_SESSION_BUS_ADDRESS',
    'GNUPGHOME',
  ]) {
    const value = env[name]
    if (value !== undefined) kept[name] = value
  }
  kept.PATH = `${env.PATH ?? '/usr/bin:/bin'}:/usr/local/sbin:/usr/sbin:/sbin`
  return kept
}
