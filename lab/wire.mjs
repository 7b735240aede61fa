/**
 * A link with delay and rate: carries Ethernet frames between two devices, both ways, as a process of its own.
 * Usage: node wire.mjs DEVICE DEVICE DELAY_MS MBIT READY_FILE (MBIT 0: no limit). Plain JavaScript, because the node that
 * runs it is whatever node the lab runs under. It ends when it is killed.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import koffi from 'koffi'

const [near = '', far = '', delayText = '0', mbitText = '0', readyFile = ''] = process.argv.slice(2)
const delay = Number(delayText)
/** Milliseconds one byte takes on the link. */
const perByte = Number(mbitText) > 0 ? 8 / (Number(mbitText) * 1000) : 0
/** What a router would hold before it drops: 100 ms at the given rate, or plenty. */
const longestQueue = 100
const mostBytes = 64 << 20

const libc = koffi.load('libc.so.6')
const socket = libc.func('int socket(int, int, int)')
const bind = libc.func('int bind(int, void *, unsigned int)')
const setsockopt = libc.func('int setsockopt(int, int, int, void *, unsigned int)')
const recv = libc.func('long recv(int, void *, size_t, int)')
const send = libc.func('long send(int, void *, size_t, int)')
const ppoll = libc.func('int ppoll(void *, unsigned long, void *, void *)')

const AF_PACKET = 17
const SOCK_RAW = 3
const ETH_P_ALL = 3
const SOL_SOCKET = 1
const SO_RCVBUFFORCE = 33
const SOL_PACKET = 263
const PACKET_IGNORE_OUTGOING = 23
const MSG_DONTWAIT = 0x40
const POLLIN = 1

const int32 = (value) => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  return bytes
}

const fail = (what) => {
  console.error(`${what}: errno ${koffi.errno()}`)
  process.exit(1)
}

/** A raw socket that sees what arrives on the device, not what it sends itself. */
const openDevice = (device) => {
  const swapped = ((ETH_P_ALL & 0xff) << 8) | (ETH_P_ALL >> 8)
  const fd = socket(AF_PACKET, SOCK_RAW, swapped)
  if (fd < 0) fail('socket')
  const address = Buffer.alloc(20)
  address.writeUInt16LE(AF_PACKET, 0)
  address.writeUInt16BE(ETH_P_ALL, 2)
  address.writeInt32LE(Number(readFileSync(`/sys/class/net/${device}/ifindex`, 'utf8')), 4)
  if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, int32(1), 4) < 0) fail('PACKET_IGNORE_OUTGOING')
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, int32(16 << 20), 4) < 0) fail('SO_RCVBUFFORCE')
  if (bind(fd, address, address.length) < 0) fail(`bind to ${device}`)
  return fd
}

const direction = (from, to) => ({ from, to, queue: [], head: 0, bytes: 0, freeAt: 0 })

const [a, b] = [openDevice(near), openDevice(far)]
const directions = [direction(a, b), direction(b, a)]
const frame = Buffer.alloc(65_536)

/** Takes in all frames that wait at one end; each gets the time at which the far end may see it. */
const takeIn = (way) => {
  for (let count = 0; count < 256; count++) {
    const size = recv(way.from, frame, frame.length, MSG_DONTWAIT)
    // Nothing more, or the device is down for now: the socket works again when it is up.
    if (size <= 0) return
    const now = performance.now()
    const start = Math.max(now, way.freeAt)
    if ((perByte > 0 && start - now > longestQueue) || way.bytes > mostBytes) continue
    way.freeAt = start + size * perByte
    way.bytes += size
    way.queue.push({ due: way.freeAt + delay, bytes: Buffer.from(frame.subarray(0, size)) })
  }
}

/** Sends what is due; a frame the device refuses is lost, as on any link. */
const letOut = (way) => {
  const now = performance.now()
  while (way.head < way.queue.length && way.queue[way.head].due <= now) {
    const { bytes } = way.queue[way.head]
    send(way.to, bytes, bytes.length, MSG_DONTWAIT)
    way.bytes -= bytes.length
    way.queue[way.head] = undefined
    way.head++
  }
  if (way.head > 1024 || way.head === way.queue.length) {
    way.queue.splice(0, way.head)
    way.head = 0
  }
}

const polled = Buffer.alloc(16)
polled.writeInt32LE(a, 0)
polled.writeInt16LE(POLLIN, 4)
polled.writeInt32LE(b, 8)
polled.writeInt16LE(POLLIN, 12)
const timeout = Buffer.alloc(16)

/** Milliseconds until the next frame is due, at most one second. */
const idle = () => {
  let next = performance.now() + 1000
  for (const way of directions) {
    const first = way.queue[way.head]
    if (first !== undefined && first.due < next) next = first.due
  }
  return Math.max(0, next - performance.now())
}

writeFileSync(readyFile, String(process.pid))
for (;;) {
  const wait = Math.round(idle() * 1e6)
  timeout.writeBigInt64LE(BigInt(Math.floor(wait / 1e9)), 0)
  timeout.writeBigInt64LE(BigInt(wait % 1e9), 8)
  ppoll(polled, 2, timeout, null)
  for (const way of directions) {
    takeIn(way)
    letOut(way)
  }
}
