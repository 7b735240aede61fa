// An NBD server that loses, lies or breaks as it is told: what nbd-server is replaced by in the drills. It serves the
// disk of nbd-server's own configuration, on the same socket under the same name, and behaves as the file beside it
// says, which may change at any moment.
//   node hostile.mjs CONFIG BEHAVIOUR
// Behaviour (JSON; {} is an honest server that writes through):
//   keep          "disk" · "memory": until a flush or FUA · "lie": in memory, flushed or not
//   from          bytes: keeps so only what lies beyond this offset
//   readErrors    share of reads that answer EIO        writeErrors  "ENOSPC": every write
//   replies       "magic" · "twice" · "half" · "stranger": from now on, the first reply of every connection included
//   greeting      "magic": nonsense in the handshake    flush        false: is not offered
//   log           a file that gets every write and every flush, in their order (see drills/crash-points.ts)
import * as fs from 'node:fs'
import { createServer } from 'node:net'

const [config, behaviourFile] = process.argv.slice(2)
const said = fs.readFileSync(config, 'utf8')
const [, name] = /^\[([0-9a-f]{32})\]$/m.exec(said)
const [, disk] = /^exportname = (.*)$/m.exec(said)
const [, socketPath] = /^unixsock = (.*)$/m.exec(said)
const file = fs.openSync(disk, 'r+')
const size = fs.fstatSync(file).size
const block = 4096

const errors = { EIO: 5, EINVAL: 22, ENOSPC: 28 }
const behaviour = () => {
  try {
    return JSON.parse(fs.readFileSync(behaviourFile, 'utf8'))
  } catch {
    return {}
  }
}

/** Blocks that the disk does not have yet: number of the block → its bytes. */
const held = new Map()

const settle = () => {
  for (const [at, bytes] of held) fs.writeSync(file, bytes, 0, block, at * block)
  held.clear()
}

// Stopped in order, an honest server writes out what it holds; killed, it cannot.
process.on('SIGTERM', () => {
  if (behaviour().keep === 'memory') settle()
  process.exit(0)
})

const read = (offset, length) => {
  const bytes = Buffer.alloc(length)
  fs.readSync(file, bytes, 0, length, offset)
  if (held.size > 0)
    for (let at = 0; at < length; at += block) held.get((offset + at) / block)?.copy(bytes, at)
  return bytes
}

const write = (bytes, offset, keep) => {
  const holds = keep !== 'disk' && offset >= (behaviour().from ?? 0)
  if (!holds) fs.writeSync(file, bytes, 0, bytes.length, offset)
  for (let at = 0; at < bytes.length; at += block) {
    const number = (offset + at) / block
    if (holds) held.set(number, Buffer.from(bytes.subarray(at, at + block)))
    else held.delete(number)
  }
}

/** One entry: kind (1 write, 2 flush), offset, length, time in ms, then the bytes. */
const note = (log, kind, offset, bytes) => {
  const head = Buffer.alloc(32)
  head.writeUInt32BE(kind, 0)
  head.writeBigUInt64BE(BigInt(offset), 8)
  head.writeBigUInt64BE(BigInt(bytes.length), 16)
  head.writeBigUInt64BE(BigInt(Date.now()), 24)
  fs.appendFileSync(log, Buffer.concat([head, bytes]))
}

/** What a request is answered with: an error number and, for a read, bytes. */
const serve = ({ type, flags, offset, length, data }) => {
  const { keep = 'disk', readErrors = 0, writeErrors, log } = behaviour()
  if (keep === 'disk' && held.size > 0) settle()
  if (offset + length > size) return { error: errors.EINVAL }
  if (type === 0) return Math.random() < readErrors ? { error: errors.EIO } : { data: read(offset, length) }
  if (type === 1) {
    if (writeErrors) return { error: errors[writeErrors] }
    write(data, offset, (flags & 1) !== 0 && keep === 'memory' ? 'disk' : keep)
    if (log) note(log, 1, offset, data)
    // FUA: this write is durable, and with it the moment after it is one that a power cut may show.
    if (log && (flags & 1) !== 0) note(log, 2, 0, Buffer.alloc(0))
    return {}
  }
  if (type === 3) {
    if (keep === 'memory') settle()
    if (log) note(log, 2, 0, Buffer.alloc(0))
    return {}
  }
  return type === 4 ? {} : { error: errors.EINVAL }
}

/** Connections that have sent half a header: they stay open, and nothing comes any more. */
const silent = new WeakSet()

const answer = (socket, handle, { error = 0, data = Buffer.alloc(0) }) => {
  const { replies } = behaviour()
  if (silent.has(socket)) return
  const head = Buffer.alloc(16)
  head.writeUInt32BE(replies === 'magic' ? 0xdeadbeef : 0x67446698, 0)
  head.writeUInt32BE(error, 4)
  handle.copy(head, 8)
  if (replies === 'stranger') head.fill(0xee, 8)
  if (replies === 'half') {
    silent.add(socket)
    socket.write(head.subarray(0, 8))
    return
  }
  socket.write(head)
  socket.write(data)
  if (replies === 'twice') socket.write(Buffer.concat([head, data]))
}

const greet = () => {
  const hello = Buffer.alloc(18)
  hello.write(behaviour().greeting === 'magic' ? 'NOTMAGIC' : 'NBDMAGIC', 0)
  hello.write('IHAVEOPT', 8)
  hello.writeUInt16BE(3, 16)
  return hello
}

const option = (number, type, data = Buffer.alloc(0)) => {
  const head = Buffer.alloc(20)
  head.writeBigUInt64BE(0x0003e889045565a9n, 0)
  head.writeUInt32BE(number, 8)
  head.writeUInt32BE(type, 12)
  head.writeUInt32BE(data.length, 16)
  return Buffer.concat([head, data])
}

/** NBD_INFO_EXPORT: size and flags (has flags, FUA and trim; flush unless told not to). */
const offer = () => {
  const info = Buffer.alloc(12)
  info.writeBigUInt64BE(BigInt(size), 2)
  info.writeUInt16BE(1 | 32 | (behaviour().flush === false ? 0 : 4 | 8), 10)
  return info
}

/** The conversation, as a machine that asks for bytes: each yield is a number of bytes wanted. */
function* talk(socket) {
  socket.write(greet())
  yield 4
  for (let agreed = false; !agreed; ) {
    const head = yield 16
    const number = head.readUInt32BE(8)
    const data = yield head.readUInt32BE(12)
    const wanted = number === 7 ? data.toString('utf8', 4, 4 + data.readUInt32BE(0)) : null
    if (number === 2) return socket.end(option(2, 1))
    agreed = wanted === name
    if (agreed) socket.write(Buffer.concat([option(7, 3, offer()), option(7, 1)]))
    else socket.write(option(number, wanted === null ? 0x80000001 : 0x80000006))
  }
  for (;;) {
    const head = yield 28
    const [type, length] = [head.readUInt16BE(6), head.readUInt32BE(24)]
    if (type === 2) return socket.end()
    const data = type === 1 ? yield length : null
    const request = {
      type,
      flags: head.readUInt16BE(4),
      offset: Number(head.readBigUInt64BE(16)),
      length,
      data,
    }
    answer(socket, head.subarray(8, 16), serve(request))
  }
}

createServer((socket) => {
  const conversation = talk(socket)
  let { value: wanted } = conversation.next()
  let have = []
  let bytes = 0
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    have.push(chunk)
    bytes += chunk.length
    while (wanted !== undefined && bytes >= wanted) {
      const all = Buffer.concat(have)
      const part = all.subarray(0, wanted)
      have = [all.subarray(wanted)]
      bytes -= wanted
      wanted = conversation.next(part).value
    }
  })
}).listen(socketPath)
