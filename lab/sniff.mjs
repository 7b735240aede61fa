/**
 * Listens to the frames of one device and counts in how many of them certain bytes are found, as a process of its own.
 * Usage: node sniff.mjs DEVICE NEEDLES READY_FILE, where NEEDLES is JSON: name → hex. On SIGTERM it writes what it found
 * to stdout as JSON. Plain JavaScript, because the node that runs it is whatever node the lab runs under.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import koffi from 'koffi'

const [device = '', needleText = '{}', readyFile = ''] = process.argv.slice(2)
const needles = Object.entries(JSON.parse(needleText)).map(([name, hex]) => [name, Buffer.from(hex, 'hex')])

const libc = koffi.load('libc.so.6')
const socket = libc.func('int socket(int, int, int)')
const bind = libc.func('int bind(int, void *, unsigned int)')
const setsockopt = libc.func('int setsockopt(int, int, int, void *, unsigned int)')
const recv = libc.func('long recv(int, void *, size_t, int)')

const AF_PACKET = 17
const SOCK_RAW = 3
const ETH_P_ALL = 3
const SOL_SOCKET = 1
const SO_RCVBUFFORCE = 33
const MSG_DONTWAIT = 0x40

const fd = socket(AF_PACKET, SOCK_RAW, ((ETH_P_ALL & 0xff) << 8) | (ETH_P_ALL >> 8))
const room = Buffer.alloc(4)
room.writeInt32LE(64 << 20)
setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, room, 4)
const address = Buffer.alloc(20)
address.writeUInt16LE(AF_PACKET, 0)
address.writeUInt16BE(ETH_P_ALL, 2)
address.writeInt32LE(Number(readFileSync(`/sys/class/net/${device}/ifindex`, 'utf8')), 4)
if (fd < 0 || bind(fd, address, address.length) < 0) {
  console.error(`cannot listen to ${device}: errno ${koffi.errno()}`)
  process.exit(1)
}

const seen = { frames: 0, bytes: 0, found: Object.fromEntries(needles.map(([name]) => [name, 0])) }
const frame = Buffer.alloc(65_536)
const takeIn = () => {
  for (;;) {
    const size = recv(fd, frame, frame.length, MSG_DONTWAIT)
    if (size <= 0) return
    seen.frames++
    seen.bytes += size
    const text = frame.subarray(0, size)
    for (const [name, bytes] of needles) if (text.includes(bytes)) seen.found[name]++
  }
}

process.on('SIGTERM', () => {
  takeIn()
  writeFileSync(1, JSON.stringify(seen))
  process.exit(0)
})
setInterval(takeIn, 5)
writeFileSync(readyFile, String(process.pid))
