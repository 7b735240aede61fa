import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Exit } from '../../../../src/fault.ts'
import { dial } from '../../../../src/stack/attach/dial.ts'
import {
  AF_UNIX,
  libc,
  SO_RCVTIMEO,
  SO_SNDTIMEO,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../../../src/stack/attach/libc.ts'
import { encodeUnix } from '../../../../src/stack/attach/sockaddr.ts'
import type { Target } from '../../../../src/stack/attach/socket.ts'
import { faultOf } from './support/fault.ts'
import {
  acknowledged,
  answerReads,
  goodFlags,
  greeting,
  honest,
  info,
  type Replying,
  reply,
} from './support/nbd-server.ts'

let folder: string
let server: Server | undefined
const open = new Set<Socket>()
let descriptors: number

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cv-dial-'))
  // The first use loads koffi, whose descriptors stay.
  await libc()
  descriptors = await countDescriptors()
})

afterEach(async () => {
  for (const socket of open) socket.destroy()
  await new Promise((resolve) => (server?.listening ? server.close(resolve) : resolve(null)))
  server = undefined
  await rm(folder, { recursive: true })
  // Every path closes what it opened. Sockets of the fake server need a turn of the loop to go.
  await expect.poll(countDescriptors).toBeLessThanOrEqual(descriptors)
})

async function countDescriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length
}

/** A server on a unix socket that does as told with everybody who connects. */
async function serve(behave: (socket: Socket) => void): Promise<Target> {
  const path = join(folder, 's')
  server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => open.delete(socket))
    behave(socket)
  })
  await new Promise<void>((resolve) => server?.listen(path, resolve))
  return { kind: 'unix', path }
}

const beHonest = (socket: Socket): void => {
  answerReads(socket)
  socket.write(honest)
}

describe('an honest server', () => {
  it('gives an offer and a socket as the kernel wants it: blocking, no timeouts', async () => {
    const { fd, offer, close } = await dial(await serve(beHonest), 'disk', 20_000)
    const sys = await libc()
    expect(offer.sizeBytes).toBe(1073741824n)
    expect(sys.getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, 16).equals(Buffer.alloc(16))).toBe(true)
    expect(sys.getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, 16).equals(Buffer.alloc(16))).toBe(true)
    // /proc says the open flags in octal: O_NONBLOCK (04000) must be off.
    const flags = /flags:\s*(\d+)/.exec(await readFile(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? ''
    expect(Number.parseInt(flags, 8) & 0o4000).toBe(0)
    close()
    close()
    expect(() => sys.getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, 16)).toThrow('EBADF')
  })

  it('may speak in single bytes, if it is quick about it', async () => {
    const target = await serve((socket) => {
      answerReads(socket)
      let at = 0
      const timer = setInterval(() => {
        if (at < honest.length && !socket.destroyed) socket.write(honest.subarray(at, ++at))
        else clearInterval(timer)
      }, 1)
    })
    const { offer, close } = await dial(target, 'disk', 10_000)
    close()
    expect(offer.flags).toBe(goodFlags)
  })

  it('is reached over TCP by name, address and IPv6', async () => {
    server = createServer((socket) => {
      open.add(socket)
      socket.on('error', () => {})
      beHonest(socket)
    })
    await new Promise<void>((resolve) => server?.listen(0, '::', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    for (const host of ['127.0.0.1', '::1', 'localhost']) {
      const { offer, close } = await dial({ kind: 'tcp', host, port }, 'disk', 20_000)
      close()
      expect(offer.canFua).toBe(true)
    }
  })
})

it('a name with several addresses is tried until one answers', async () => {
  server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => {})
    beHonest(socket)
  })
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const { close } = await dial({ kind: 'tcp', host: 'localhost', port }, 'disk', 20_000)
  close()
})

describe('a bad server', () => {
  it('that says nothing is given up at the deadline, while the event loop lives', async () => {
    let ticks = 0
    const timer = setInterval(() => ticks++, 10)
    const target = await serve(() => {})
    const began = performance.now()
    const fault = await faultOf(() => dial(target, 'disk', 700))
    clearInterval(timer)
    expect(fault.exit).toBe(Exit.unreachable)
    expect(fault.message).toMatch(/no complete answer within 0.7 s/)
    expect(performance.now() - began).toBeLessThan(2_000)
    expect(ticks).toBeGreaterThan(20)
  })

  it('that drips does not outlive the deadline', async () => {
    const target = await serve((socket) => {
      let at = 0
      const timer = setInterval(() => {
        if (socket.destroyed) clearInterval(timer)
        else socket.write(honest.subarray(at, ++at))
      }, 100)
    })
    const began = performance.now()
    expect((await faultOf(() => dial(target, 'disk', 800))).message).toMatch(/within 0.8 s/)
    expect(performance.now() - began).toBeLessThan(2_000)
  })

  it.each([0, 5, 17, 18, 30, 60])('that closes after %i bytes is unreachable', async (count) => {
    const fault = await faultOf(async () =>
      dial(await serve((socket) => socket.end(honest.subarray(0, count))), 'disk', 20_000),
    )
    expect(fault.exit).toBe(Exit.unreachable)
    expect(fault.message).toMatch(/closed the connection during the NBD handshake/)
  })

  it.each([
    ['lies about its protocol', Buffer.from('220 smtp.example ESMTP Postfix\r\n'), /wrong magic/],
    ['does not know fixed newstyle', greeting(0), /fixed-newstyle/],
    ['announces 4 GiB', Buffer.concat([greeting(), reply(3, Buffer.alloc(0), 0xffff_ffff)]), /4294967295/],
    ['offers nothing', Buffer.concat([greeting(), info(0n, goodFlags), acknowledged]), /size 0/],
    ['never ends', Buffer.concat([greeting(), ...Array<Buffer>(99).fill(info(4096n, 1))]), /more than 16/],
  ])('that %s is not trusted', async (_, said, words) => {
    const target = await serve((socket) => socket.write(said))
    const fault = await faultOf(() => dial(target, 'disk', 20_000))
    expect(fault.exit).toBe(Exit.trust)
    expect(fault.message).toMatch(words)
  })

  const sayTwice: Replying = (handle) => {
    const once = Buffer.concat([Buffer.from('6744669800000000', 'hex'), handle, Buffer.alloc(4096)])
    return Buffer.concat([once, once])
  }
  it.each<[string, Replying, RegExp]>([
    ['has another magic number', (handle) => Buffer.concat([Buffer.alloc(8, 0xee), handle]), /wrong magic/],
    ['belongs to no request', () => Buffer.from(`6744669800000000${'ee'.repeat(8)}`, 'hex'), /no request/],
    ['comes twice', sayTwice, /no request/],
  ])('whose reply to a read %s is not trusted', async (_, replying, words) => {
    const target = await serve((socket) => {
      answerReads(socket, replying)
      socket.write(honest)
    })
    expect(await faultOf(() => dial(target, 'disk', 20_000))).toMatchObject({
      exit: Exit.trust,
      message: expect.stringMatching(words),
      details: { stands: 'nothing was handed to the kernel' },
    })
  })

  it('whose disk fails the read may still be attached: that is not the connection', async () => {
    const target = await serve((socket) => {
      answerReads(socket, (handle) => Buffer.concat([Buffer.from('6744669800000005', 'hex'), handle]))
      socket.write(honest)
    })
    const { close } = await dial(target, 'disk', 20_000)
    close()
  })

  it('that answers half a header and no more is given up at the deadline', async () => {
    const target = await serve((socket) => {
      answerReads(socket, () => Buffer.from('67446698', 'hex'))
      socket.write(honest)
    })
    expect((await faultOf(() => dial(target, 'disk', 600))).message).toMatch(/within 0.6 s/)
  })

  it('that does not know the export is named so', async () => {
    const target = await serve((socket) => socket.write(Buffer.concat([greeting(), reply(0x8000_0006)])))
    expect(await faultOf(() => dial(target, 'disk', 20_000))).toMatchObject({ reason: 'unknown export' })
  })
})

describe('nobody there', () => {
  it('no socket file, a file that is none, a closed port', async () => {
    const missing = await faultOf(() => dial({ kind: 'unix', path: join(folder, 'none') }, 'disk', 1_000))
    expect(missing).toMatchObject({
      exit: Exit.unreachable,
      message: expect.stringMatching(/does not exist/),
    })
    const closed = await faultOf(() => dial({ kind: 'tcp', host: '127.0.0.1', port: 1 }, 'disk', 1_000))
    expect(closed).toMatchObject({
      exit: Exit.unreachable,
      message: expect.stringMatching(/nothing listens/),
    })
  })

  it('a name that does not exist', async () => {
    const fault = await faultOf(() =>
      dial({ kind: 'tcp', host: 'no-such-host.invalid', port: 1 }, 'x', 3_000),
    )
    expect(fault.exit).toBe(Exit.unreachable)
    expect(fault.message).toMatch(/no-such-host.invalid cannot be resolved/)
  })

  it('a listener whose queue is full is waited for until the deadline', async () => {
    const sys = await libc()
    // A listener that never accepts: backlog 0 holds one connection, the next gets EAGAIN.
    const path = join(folder, 'full')
    const listener = await listenWithoutAccepting(path)
    const first = sys.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)
    try {
      sys.connect(first, encodeUnix(path).bytes)
      const fault = await faultOf(() => dial({ kind: 'unix', path }, 'disk', 400))
      expect(fault.message).toMatch(/within 0.4 s/)
    } finally {
      sys.close(first)
      listener()
    }
  })
})

/** Node always accepts; this one is made by hand. Returns how to close it. */
async function listenWithoutAccepting(path: string): Promise<() => void> {
  const { default: koffi } = await import('koffi')
  const sys = await libc()
  const fd = sys.socket(AF_UNIX, SOCK_STREAM, 0)
  sys.bind(fd, encodeUnix(path).bytes)
  koffi.load(null).func('int listen(int, int)')(fd, 0)
  return () => sys.close(fd)
}
