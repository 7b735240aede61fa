import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import {
  AF_NETLINK,
  AF_UNIX,
  errnoName,
  libc,
  POLLIN,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOCK_STREAM,
  SystemError,
} from '../../../../src/stack/attach/libc.ts'
import { NETLINK_GENERIC } from '../../../../src/stack/attach/netlink.ts'
import { encodeUnix } from '../../../../src/stack/attach/sockaddr.ts'

it('calls side by side keep their own errno', async () => {
  const sys = await libc()
  const fd = sys.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)
  try {
    const codes = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        sys
          .sendWaiting(index % 2 === 0 ? -1 : fd, Buffer.from('x'))
          .then(() => 'sent')
          .catch((error: unknown) => (error instanceof SystemError ? error.code : String(error))),
      ),
    )
    expect(codes).toEqual(codes.map((_, index) => (index % 2 === 0 ? 'EBADF' : 'ENOTCONN')))
  } finally {
    sys.close(fd)
  }
})

it('a failing call says which it was and why', async () => {
  const sys = await libc()
  const fd = sys.socket(AF_UNIX, SOCK_STREAM, 0)
  expect(() => sys.connect(fd, encodeUnix('/nonexistent/socket').bytes)).toThrow('connect: ENOENT')
  sys.close(fd)
  expect(() => sys.close(fd)).toThrow('close: EBADF')
  expect(errnoName(524)).toBe('errno 524')
})

it('waiting does not stop the event loop', async () => {
  const sys = await libc()
  const silent = sys.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_GENERIC)
  let ticks = 0
  const timer = setInterval(() => ticks++, 10)
  try {
    expect(await sys.poll(silent, POLLIN, 300)).toBe(false)
    expect(ticks).toBeGreaterThan(10)
  } finally {
    clearInterval(timer)
    sys.close(silent)
  }
})

it('memory is never written to disk: not of this process, not of what it starts', async () => {
  ;(await libc()).forbidCoreDumps()
  const limit = /^Max core file size +0 +0 /m
  expect(readFileSync('/proc/self/limits', 'utf8')).toMatch(limit)
  expect(execFileSync('cat', ['/proc/self/limits'], { encoding: 'utf8' })).toMatch(limit)
})
