import { spawn } from 'node:child_process'
import { Duplex } from 'node:stream'
import { proxyArgv } from './openssh.ts'
import type { ResolvedSsh } from './resolve.ts'

/** A server behind others: OpenSSH makes the way, its stdin and stdout are the socket. */
export interface Jump {
  readonly stream: Duplex
  /** The last of what it wrote to stderr. */
  complaint(): string
  close(): void
}

/**
 * Starts the ProxyJump or ProxyCommand of a target; null when it has none. A stream that lives as long as the
 * connection is no command with an end, so it does not go through Host.run.
 */
export const openJump = (resolved: ResolvedSsh): Jump | null => {
  const [program, ...args] = proxyArgv(resolved) ?? []
  if (!program) return null
  // Its own process group: a Ctrl-C on the terminal is for us to decide about.
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  let complaint = ''
  child.stderr.on('data', (bytes: Buffer) => {
    complaint = (complaint + bytes.toString('utf8')).slice(-2000)
  })
  const stream = Duplex.from({ readable: child.stdout, writable: child.stdin })
  stream.on('error', () => {}) // ssh2 sees the end of the stream; a second report would be a crash
  child.on('error', (error) => {
    complaint += error.message
    stream.destroy()
  })
  return {
    stream,
    complaint: () => complaint,
    close: () => {
      stream.destroy()
      child.kill('SIGKILL')
    },
  }
}
