import type { Duplex, Readable } from 'node:stream'
import { Exit, Fault } from '../../fault.ts'
import { type Command, defaultDeadline, type Output } from '../host.ts'
import { shellLine } from '../quote.ts'
import { Secret } from '../secret.ts'

/** Bytes of stdout, and of stderr, that one command may send: a hostile server would send for ever. */
const outputLimit = 4 * 1024 * 1024

/** Commands at the same time; sshd's MaxSessions is 10. */
const parallel = 8

/** A plain user's PATH has no sbin, and everything we parse needs the C locale. */
const environment = ['LC_ALL=C', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']

/** The part of an ssh2 client that is used here. */
export interface ExecClient {
  exec(line: string, opened: (error: Error | undefined, channel: ExecChannel) => void): unknown
  on(event: 'close', listener: () => void): unknown
  off(event: 'close', listener: () => void): unknown
}

type ExecChannel = Duplex & { readonly stderr: Readable }

/** Commands over one SSH connection: one channel each, with a deadline and a limit on what comes back. */
export class SshChannels {
  readonly name: string
  readonly #client: ExecClient
  readonly #waiting: (() => void)[] = []
  #running = 0
  #gone: boolean = false

  constructor(client: ExecClient, name: string) {
    this.#client = client
    this.name = name
    client.on('close', () => {
      this.#gone = true
    })
  }

  /** @param raise put `sudo -n` in front */
  async run(command: Command, raise: boolean): Promise<Output> {
    if (this.#running < parallel) this.#running++
    else await new Promise<void>((go) => this.#waiting.push(go)) // the place is handed over, not given up
    try {
      const output = await this.#execute(command, raise)
      this.#complain(command, output, raise)
      return output
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running--
    }
  }

  /** What no caller could make sense of: a program that is not there, a right that is missing. */
  #complain(command: Command, output: Output, raise: boolean): void {
    if (
      raise &&
      /^sudo: a (password|terminal) is required|not in the sudoers file|may not run sudo|^Sorry, user/m.test(
        output.stderr,
      )
    ) {
      throw new Fault(Exit.missing, 'the SSH user may not use sudo without a password', {
        member: this.name,
        next:
          'log in as root, or allow it: echo "USER ALL=(ALL) NOPASSWD: ALL" > /etc/sudoers.d/cloudvault' +
          '   (once provisioned, /usr/local/lib/cloudvault/session is enough for up, status and down)',
        detail: output.stderr,
      })
    }
    // 127 alone proves nothing: `command -v` in some shells ends with it as well. sudo itself ends with 1.
    const unknown = /^env: .*No such file|^env: .*not found|^sudo: .*command not found/m.test(output.stderr)
    if (!unknown || (output.code !== 127 && output.code !== 1)) return
    throw new Fault(Exit.missing, `${command.argv[0]} is not installed on the server`, {
      member: this.name,
      detail: output.stderr,
    })
  }

  #execute(command: Command, raise: boolean): Promise<Output> {
    // sudo right before the program: so sudoers may name the few that a login user may run (SECURITY.md).
    const line = shellLine(['env', ...environment, ...(raise ? ['sudo', '-n'] : []), ...command.argv])
    const deadline = command.deadline ?? defaultDeadline
    const fail = (what: string): Fault => new Fault(Exit.unreachable, what, { member: this.name })
    return new Promise((resolve, reject) => {
      if (this.#gone) return reject(fail('the SSH connection is gone'))
      let channel: ExecChannel | undefined
      const end = (settle: () => void): void => {
        clearTimeout(timer)
        this.#client.off('close', lost)
        channel?.destroy()
        settle()
      }
      const timer = setTimeout(
        () => end(() => reject(fail(`${command.argv[0]} did not finish within ${deadline / 1000} s`))),
        deadline,
      )
      const collected = new Collected(() =>
        end(() => reject(fail(`${command.argv[0]} sent more than ${outputLimit / 1048576} MiB`))),
      )
      const lost = (): void => end(() => resolve(collected.output(null)))
      this.#client.on('close', lost)
      try {
        this.#client.exec(line, (error, opened) => {
          if (error) return end(() => reject(fail(`the server opens no channel: ${error.message}`)))
          channel = opened
          follow(opened, command, collected, (code) => end(() => resolve(collected.output(code))))
        })
      } catch (error) {
        end(() => reject(fail(`the SSH connection is gone: ${(error as Error).message}`)))
      }
    })
  }
}

/** Feeds stdin, gathers output, and tells when the channel is closed; code null when no exit status came. */
const follow = (
  channel: ExecChannel,
  command: Command,
  collected: Collected,
  ended: (code: number | null) => void,
): void => {
  let code: number | null = null
  channel.on('data', (bytes: Buffer) => collected.add('stdout', bytes))
  channel.stderr.on('data', (bytes: Buffer) => collected.add('stderr', bytes))
  channel.on('exit', (status: number | null) => {
    code = typeof status === 'number' ? status : null
  })
  channel.on('close', () => ended(code))
  channel.on('error', () => {}) // the close that follows says all
  const input = command.input instanceof Secret ? Buffer.from(command.input.reveal()) : command.input
  if (input === undefined) channel.end()
  else channel.end(input)
}

/** Output so far, within its limit. */
class Collected {
  readonly #chunks: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] }
  readonly #sizes = { stdout: 0, stderr: 0 }
  readonly #tooMuch: () => void

  constructor(tooMuch: () => void) {
    this.#tooMuch = tooMuch
  }

  add(stream: 'stdout' | 'stderr', bytes: Buffer): void {
    this.#sizes[stream] += bytes.length
    if (this.#sizes[stream] > outputLimit) this.#tooMuch()
    else this.#chunks[stream].push(bytes)
  }

  output(code: number | null): Output {
    const text = (chunks: Buffer[]): string => Buffer.concat(chunks).toString('utf8')
    return { code, stdout: text(this.#chunks.stdout), stderr: text(this.#chunks.stderr) }
  }
}
