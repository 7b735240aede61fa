/**
 * A stream socket whose descriptor the kernel can take over: connect, send and receive under one total deadline.
 * Node's own sockets cannot do this, because libuv owns their descriptors.
 * The socket is non-blocking while it is ours, so no call can outlive the deadline, and a plain blocking one when handed over.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, Fault } from '../../fault.ts'
import {
  AF_UNIX,
  IPPROTO_TCP,
  type Libc,
  libc,
  POLLIN,
  POLLOUT,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_RCVTIMEO,
  SO_SNDTIMEO,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SystemError,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
} from './libc.ts'
import { resolve } from './resolve.ts'
import type { Address } from './sockaddr.ts'

export type Target =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }

/** How a person would call the target: "unix socket /run/x.sock" or "storage.example:10809". */
export function describeTarget(target: Target): string {
  if (target.kind === 'unix') return `unix socket ${target.path}`
  return target.host.includes(':') ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`
}

/** A moment (performance.now() milliseconds) after which nobody waits any more. */
export interface Deadline {
  readonly at: number
  readonly totalMs: number
}

export function deadlineIn(totalMs: number): Deadline {
  return { at: performance.now() + totalMs, totalMs }
}

/**
 * Waits are cut into slices: a worker thread that sleeps in poll() is one of four that the whole process has,
 * and a process that wants to exit should not have to wait for it.
 */
const sliceMs = 200

/** One connected socket. Close it on every path: the kernel has its own reference once it took it over. */
export class Connection {
  readonly fd: number
  readonly #sys: Libc
  readonly #target: Target
  readonly #deadline: Deadline
  #open: boolean = true

  constructor(sys: Libc, fd: number, target: Target, deadline: Deadline) {
    this.#sys = sys
    this.fd = fd
    this.#target = target
    this.#deadline = deadline
  }

  async write(bytes: Buffer): Promise<void> {
    let done = 0
    while (done < bytes.length) {
      const sent = this.#try(() => this.#sys.send(this.fd, bytes.subarray(done)))
      done += sent
      if (sent === 0) await this.#wait(POLLOUT)
    }
  }

  /** Exactly `length` bytes. @throws Fault exit 4 when the stream ends or the deadline passes first. */
  async read(length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length)
    let done = 0
    while (done < length) {
      const got = this.#try(() => this.#sys.recv(this.fd, bytes.subarray(done)))
      if (got === 0) throw this.#fault('closed the connection during the NBD handshake')
      if (got === null) await this.#wait(POLLIN)
      else done += got
    }
    return bytes
  }

  /** The state the kernel wants: blocking, and without timeouts, which would look like a dead link to it. */
  prepareForKernel(): void {
    this.#try(() => {
      const never = Buffer.alloc(16)
      this.#sys.setsockopt(this.fd, SOL_SOCKET, SO_RCVTIMEO, never)
      this.#sys.setsockopt(this.fd, SOL_SOCKET, SO_SNDTIMEO, never)
      this.#sys.setBlocking(this.fd)
    })
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#sys.close(this.fd)
  }

  /** Made by `connect` only. */
  async establish(address: Address): Promise<void> {
    await this.#begin(address)
    if (address.family === AF_UNIX) return
    const one = int(1)
    this.#try(() => {
      this.#sys.setsockopt(this.fd, IPPROTO_TCP, TCP_NODELAY, one)
      // An idle device sends nothing: without keepalive a dead link is noticed only by the next write.
      this.#sys.setsockopt(this.fd, SOL_SOCKET, SO_KEEPALIVE, one)
      this.#sys.setsockopt(this.fd, IPPROTO_TCP, TCP_KEEPIDLE, int(10))
      this.#sys.setsockopt(this.fd, IPPROTO_TCP, TCP_KEEPINTVL, int(5))
      this.#sys.setsockopt(this.fd, IPPROTO_TCP, TCP_KEEPCNT, int(3))
    })
  }

  async #begin(address: Address): Promise<void> {
    for (;;) {
      try {
        if (this.#sys.connect(this.fd, address.bytes)) return
        break
      } catch (error) {
        // A unix socket whose backlog is full says EAGAIN and cannot be polled for room.
        if (!(error instanceof SystemError) || error.code !== 'EAGAIN') throw this.#broken(error)
        this.#checkDeadline()
        await sleep(20)
      }
    }
    await this.#wait(POLLOUT)
    const errno = this.#sys.getsockopt(this.fd, SOL_SOCKET, SO_ERROR, 4).readInt32LE()
    if (errno !== 0) throw this.#broken(new SystemError('connect', errno))
  }

  async #wait(events: number): Promise<void> {
    for (;;) {
      const left = this.#checkDeadline()
      if (await this.#sys.poll(this.fd, events, Math.min(left, sliceMs))) return
    }
  }

  /** Milliseconds left. Also passed through by the busy path, so a server that always has one more byte gains nothing. */
  #checkDeadline(): number {
    const left = this.#deadline.at - performance.now()
    if (left <= 0) throw this.#fault(`gave no complete answer within ${this.#deadline.totalMs / 1000} s`)
    return left
  }

  #try<T>(call: () => T): T {
    this.#checkDeadline()
    try {
      return call()
    } catch (error) {
      throw this.#broken(error)
    }
  }

  #broken(error: unknown): unknown {
    if (!(error instanceof SystemError)) return error
    return this.#fault(connectWords[error.code] ?? `cannot be reached (${error.code})`, error)
  }

  #fault(what: string, cause?: unknown): Fault {
    return new Fault(Exit.unreachable, `${describeTarget(this.#target)} ${what}`, {
      stands: 'nothing was handed to the kernel',
      ...(cause === undefined ? {} : { cause }),
    })
  }
}

const connectWords: Record<string, string> = {
  ECONNREFUSED: 'refuses connections: nothing listens there',
  ENOENT: 'does not exist',
  ECONNRESET: 'closed the connection during the NBD handshake',
  EPIPE: 'closed the connection during the NBD handshake',
  ETIMEDOUT: 'does not answer',
  EHOSTUNREACH: 'cannot be reached: no route to the host',
  ENETUNREACH: 'cannot be reached: no route to its network',
  EACCES: 'cannot be opened: permission denied',
}

/**
 * Connects to the target; names are resolved first, and every address is tried.
 * @throws Fault exit 4 when no address answers before the deadline, or the name does not resolve.
 */
export async function connect(target: Target, deadline: Deadline): Promise<Connection> {
  const sys = await libc()
  const addresses = await resolve(target, deadline)
  let last: unknown
  for (const [index, address] of addresses.entries()) {
    // One silent address must not eat the time of the next: the rest of the time is shared out.
    const share = (deadline.at - performance.now()) / (addresses.length - index)
    const attempt = { at: performance.now() + share, totalMs: deadline.totalMs }
    try {
      return await attemptOne(sys, target, address, attempt, deadline)
    } catch (error) {
      last = error
    }
  }
  throw last
}

async function attemptOne(
  sys: Libc,
  target: Target,
  address: Address,
  attempt: Deadline,
  deadline: Deadline,
): Promise<Connection> {
  const fd = openStream(sys, address.family, target)
  try {
    await new Connection(sys, fd, target, attempt).establish(address)
    return new Connection(sys, fd, target, deadline)
  } catch (error) {
    sys.close(fd)
    throw error
  }
}

/** A machine without IPv6, say, has no sockets of that family: that address is unreachable, the next may not be. */
function openStream(sys: Libc, family: number, target: Target): number {
  try {
    return sys.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  } catch (cause) {
    if (!(cause instanceof SystemError)) throw cause
    throw new Fault(Exit.unreachable, `${describeTarget(target)} cannot be reached (${cause.code})`, {
      cause,
    })
  }
}

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  return bytes
}
