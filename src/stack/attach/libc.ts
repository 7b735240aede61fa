/**
 * The few system calls Node has no door to: raw sockets whose descriptor can be handed to the kernel.
 * The only file that touches koffi, and it loads it on first use, so that verbs which do not attach never pay for it.
 * Everything here is non-blocking or runs on a worker thread: the event loop lives while a server is silent.
 */
import { constants as osConstants } from 'node:os'
import { Exit, Fault } from '../../fault.ts'

/** Linux numbers, the same on every architecture koffi ships binaries for. */
export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const AF_NETLINK = 16
export const SOCK_STREAM = 1
export const SOCK_RAW = 3
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const SOL_SOCKET = 1
export const SO_ERROR = 4
export const SO_KEEPALIVE = 9
export const SO_RCVTIMEO = 20
export const SO_SNDTIMEO = 21
export const IPPROTO_TCP = 6
export const TCP_NODELAY = 1
export const TCP_KEEPIDLE = 4
export const TCP_KEEPINTVL = 5
export const TCP_KEEPCNT = 6
export const POLLIN = 1
export const POLLOUT = 4
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const F_SETFL = 4

/** A system call that said no. Never leaves src/stack/attach/: the callers turn it into a Fault with words. */
export class SystemError extends Error {
  readonly call: string
  /** The errno, as a positive number. */
  readonly errno: number
  /** Its name: "ECONNREFUSED". */
  readonly code: string

  constructor(call: string, errno: number) {
    const code = errnoName(errno)
    super(`${call}: ${code}`)
    this.name = 'SystemError'
    this.call = call
    this.errno = errno
    this.code = code
  }
}

/** "ENOENT" for 2; "errno 524" for numbers that only exist inside the kernel. */
export function errnoName(errno: number): string {
  for (const [name, value] of Object.entries(osConstants.errno)) {
    if (value === errno) return name
  }
  return `errno ${errno}`
}

/** System calls on descriptors. All throw SystemError; `send` and `recv` never wait. */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number
  /** False when the connection is still being made (EINPROGRESS): wait for POLLOUT, then read SO_ERROR. */
  connect(fd: number, address: Uint8Array): boolean
  bind(fd: number, address: Uint8Array): void
  /** Bytes taken; 0 when the socket takes none right now. */
  send(fd: number, bytes: Uint8Array): number
  /** Bytes read into `into`; 0 at the end of the stream; null when there is nothing right now. */
  recv(fd: number, into: Uint8Array): number | null
  setsockopt(fd: number, level: number, option: number, value: Uint8Array): void
  getsockopt(fd: number, level: number, option: number, size: number): Buffer
  /** Makes the socket an ordinary blocking one. */
  setBlocking(fd: number): void
  /** Waits on a worker thread until one of `events` is there, at most `timeoutMs`. False: it was not. */
  poll(fd: number, events: number, timeoutMs: number): Promise<boolean>
  /** A send that may take its time, on a worker thread: the kernel works off a netlink request inside it. */
  sendWaiting(fd: number, bytes: Uint8Array): Promise<number>
  close(fd: number): void
  /** This process's memory is never written to disk, nor that of programs that it starts from now on. */
  forbidCoreDumps(): void
}

/** From linux/resource.h and linux/prctl.h. */
const [RLIMIT_CORE, PR_SET_DUMPABLE] = [4, 4]

let loaded: Promise<Libc> | undefined

/**
 * The system calls, loaded once.
 * @throws Fault exit 3 when the koffi package has no binary for this machine.
 */
export function libc(): Promise<Libc> {
  loaded ??= load()
  return loaded
}

async function load(): Promise<Libc> {
  try {
    const { default: koffi } = await import('koffi')
    return declare(koffi)
  } catch (cause) {
    throw new Fault(Exit.missing, 'the system call layer (npm package koffi) does not load on this machine', {
      next: 'npm install koffi',
      detail: cause instanceof Error ? cause.message : String(cause),
      cause,
    })
  }
}

type Koffi = typeof import('koffi').default
type Native = ((...args: unknown[]) => number) & {
  async: (...args: unknown[]) => void
}

function declare(koffi: Koffi): Libc {
  const library = koffi.load(null)
  const native = (definition: string) => library.func(definition) as unknown as Native
  const socket = native('int socket(int domain, int type, int protocol)')
  const connect = native('int connect(int fd, void *address, unsigned int length)')
  const bindTo = native('int bind(int fd, void *address, unsigned int length)')
  const send = native('intptr_t send(int fd, void *bytes, size_t length, int flags)')
  const recv = native('intptr_t recv(int fd, void *bytes, size_t length, int flags)')
  const poll = native('int poll(void *fds, unsigned long count, int timeout)')
  const setsockopt = native('int setsockopt(int fd, int level, int option, void *value, unsigned int length)')
  const getsockopt = native('int getsockopt(int fd, int level, int option, void *value, void *length)')
  const fcntl = native('int fcntl(int fd, int command, ...)')
  const close = native('int close(int fd)')
  const setrlimit = native('int setrlimit(int resource, void *limits)')
  const prctl = native('int prctl(int option, unsigned long value)')

  const check = (call: string, result: number): number => {
    if (result >= 0) return result
    throw new SystemError(call, koffi.errno())
  }
  // koffi keeps the errno of an asynchronous call for its callback, and only for it: it is read there or lost.
  // It does not keep the buffers: the callback holds `args`, so that none is collected while the call runs.
  const waiting = (call: string, fn: Native, ...args: unknown[]): Promise<number> =>
    new Promise((resolve, reject) => {
      fn.async(...args, (error: unknown, result: number) => {
        const errno = koffi.errno()
        args.length = 0
        if (error) reject(error instanceof Error ? error : new Error(String(error)))
        else if (result < 0) reject(new SystemError(call, errno))
        else resolve(result)
      })
    })

  return {
    socket: (domain, type, protocol) => check('socket', socket(domain, type, protocol)),
    connect(fd, address) {
      if (connect(fd, address, address.length) === 0) return true
      const errno = koffi.errno()
      if (errno === osConstants.errno.EINPROGRESS) return false
      throw new SystemError('connect', errno)
    },
    bind(fd, address) {
      check('bind', bindTo(fd, address, address.length))
    },
    send(fd, bytes) {
      const sent = send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL)
      return sent < 0 && transient(koffi.errno()) ? 0 : check('send', sent)
    },
    recv(fd, into) {
      const got = recv(fd, into, into.length, MSG_DONTWAIT)
      return got < 0 && transient(koffi.errno()) ? null : check('recv', got)
    },
    setsockopt: (fd, level, option, value) => {
      check('setsockopt', setsockopt(fd, level, option, value, value.length))
    },
    getsockopt(fd, level, option, size) {
      const value = Buffer.alloc(size)
      const length = Buffer.alloc(4)
      length.writeUInt32LE(size)
      check('getsockopt', getsockopt(fd, level, option, value, length))
      return value.subarray(0, length.readUInt32LE())
    },
    setBlocking(fd) {
      check('fcntl', fcntl(fd, F_SETFL, 'int', 0))
    },
    async poll(fd, events, timeoutMs) {
      const entry = Buffer.alloc(8)
      entry.writeInt32LE(fd, 0)
      entry.writeInt16LE(events, 4)
      try {
        const ready = await waiting('poll', poll, entry, 1, Math.max(0, Math.ceil(timeoutMs)))
        return ready > 0 && entry.readInt16LE(6) !== 0
      } catch (error) {
        if (error instanceof SystemError && error.code === 'EINTR') return false
        throw error
      }
    },
    sendWaiting: (fd, bytes) => waiting('send', send, fd, bytes, bytes.length, MSG_NOSIGNAL),
    close: (fd) => {
      check('close', close(fd))
    },
    forbidCoreDumps() {
      check('setrlimit', setrlimit(RLIMIT_CORE, Buffer.alloc(16)))
      check('prctl', prctl(PR_SET_DUMPABLE, 0))
    },
  }
}

/** The socket has nothing to give or take right now: not an error, a reason to wait. */
function transient(errno: number): boolean {
  return errno === osConstants.errno.EAGAIN || errno === osConstants.errno.EINTR
}
