/**
 * Asks an NBD server for one export and prints what it says: `nbd-go.mjs WHERE NAME [hold]`, WHERE being a socket's
 * path or host:port. Prints {"size":…,"flags":…}, {"refused":"no such export"} or {"error":…}; with `hold` it then
 * reads a block every 200 ms until the server hangs up, and prints {"cut":true}.
 */
import net from 'node:net'

const [where = '', name = '', hold] = process.argv.slice(2)
const colon = where.startsWith('/') ? 0 : where.lastIndexOf(':')
const [host, port] = colon > 0 ? [where.slice(0, colon), where.slice(colon + 1)] : []
const socket = host ? net.connect({ host, port: Number(port) }) : net.connect(where)
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`)
const leave = (answer) => {
  say(answer)
  process.exit(0)
}
socket.setTimeout(10_000, () => leave({ error: 'silent' }))
socket.on('error', (error) => leave({ error: error.code ?? error.message }))
socket.on('close', () => leave(serving ? { cut: true } : { error: 'hung up' }))

let bytes = Buffer.alloc(0)
let greeted = false
let serving = false
socket.on('data', (chunk) => {
  bytes = Buffer.concat([bytes, chunk])
  if (!greeted && bytes.length >= 18) greet()
  while (greeted && !serving && bytes.length >= 20 && bytes.length >= 20 + bytes.readUInt32BE(16)) reply()
})

const greet = () => {
  if (bytes.toString('latin1', 0, 16) !== 'NBDMAGICIHAVEOPT') leave({ error: 'no NBD server' })
  bytes = bytes.subarray(18)
  greeted = true
  const export_ = Buffer.from(name)
  const data = Buffer.alloc(4 + export_.length + 2)
  data.writeUInt32BE(export_.length, 0)
  export_.copy(data, 4)
  const head = Buffer.alloc(20)
  head.writeUInt32BE(3, 0) // fixed newstyle, no zeroes
  head.write('IHAVEOPT', 4, 'latin1')
  head.writeUInt32BE(7, 12) // NBD_OPT_GO
  head.writeUInt32BE(data.length, 16)
  socket.write(Buffer.concat([head, data]))
}

const reply = () => {
  const type = bytes.readUInt32BE(12)
  const data = bytes.subarray(20, 20 + bytes.readUInt32BE(16))
  bytes = bytes.subarray(20 + data.length)
  if (type >= 2 ** 31) leave({ refused: type === 0x80000006 ? 'no such export' : `0x${type.toString(16)}` })
  if (type === 3 && data.readUInt16BE(0) === 0) {
    const answer = { size: Number(data.readBigUInt64BE(2)), flags: data.readUInt16BE(10) }
    if (hold) say(answer)
    else leave(answer)
  }
  if (type === 1 && hold) {
    serving = true
    socket.setTimeout(0)
    setInterval(() => socket.write(read()), 200)
  }
}

const read = () => {
  const request = Buffer.alloc(28)
  request.writeUInt32BE(0x25609513, 0)
  request.writeUInt32BE(4096, 24)
  return request
}
