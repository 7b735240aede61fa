/** A command that goes on in the guest while the test does something else: a writer, a prompt on a terminal. */
import { randomBytes } from 'node:crypto'
import { shellLine } from '../src/host/quote.ts'
import { muxArgv, type Seated } from './client-boot.ts'
import { exec, open, type Result } from './exec.ts'

export interface StartOptions {
  /** Gives it a real terminal (stderr then comes with stdout). */
  readonly tty?: boolean
  readonly env?: Readonly<Record<string, string>>
}

export interface Running {
  /** What it has printed so far. */
  output(): { stdout: string; stderr: string }
  /** Types into its stdin. */
  write(text: string | Uint8Array): void
  /** Closes its stdin. */
  end(): void
  /** Resolves when it ends by itself. */
  wait(): Promise<Result>
  /** Sends SIGTERM (or `signal`) to its process group, SIGKILL after 10 s, and resolves when it is gone. */
  stop(signal?: 'TERM' | 'INT' | 'KILL' | 'HUP'): Promise<Result>
}

export const startInGuest = (state: Seated, argv: readonly string[], options: StartOptions): Running => {
  const pidFile = `/run/lab-${randomBytes(6).toString('hex')}.pid`
  const variables = Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`)
  // ssh copies the modes of its own terminal, and here it has none.
  const sane = options.tty === true ? 'stty sane rows 24 cols 80; ' : ''
  const body = ['sh', '-c', `${sane}echo $$ > "$0"; exec "$@"`, pidFile, 'env', ...variables, ...argv]
  const [ssh = 'ssh', ...rest] = muxArgv(state)
  // On a terminal the shell is the session's leader already; otherwise it gets a group of its own to be killed by.
  const words =
    options.tty === true
      ? [ssh, '-tt', ...rest, shellLine(body)]
      : [ssh, ...rest, shellLine(['setsid', '-w', ...body])]
  const child = open(words)
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => err.push(chunk))
  child.stdin?.on('error', () => {})
  const output = () => ({ stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() })
  const ended = new Promise<Result>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, ...output() }))
  })
  ended.catch(() => {})
  const send = (signal: string) =>
    exec([...muxArgv(state), `kill -${signal} -- -$(cat ${pidFile}) || kill -${signal} $(cat ${pidFile})`], {
      allowFail: true,
      deadlineMs: 20_000,
    }).catch(() => {})
  return {
    output,
    write: (text) => void child.stdin?.write(text),
    end: () => void child.stdin?.end(),
    wait: () => ended,
    stop: async (signal = 'TERM') => {
      await send(signal)
      const timer = setTimeout(() => {
        void send('KILL').then(() => setTimeout(() => child.kill('SIGKILL'), 5_000).unref())
      }, 10_000)
      try {
        return await ended
      } finally {
        clearTimeout(timer)
      }
    },
  }
}
