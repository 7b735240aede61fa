/**
 * Two reads before the kernel gets the socket, on every reconnect too. A server whose handshake is right and whose
 * replies are nonsense would be given to the kernel again and again, and what waits on the device would wait for ever.
 * The second read shows whether the first was answered once.
 */
import { randomBytes } from 'node:crypto'
import { Exit, Fault } from '../../fault.ts'
import type { Move } from './handshake.ts'

const REQUEST_MAGIC = 0x25609513
const REPLY_MAGIC = 0x67446698
const CMD_READ = 0
const lengthBytes = 4096

/** A read that is answered with an error is a disk's business, not the connection's. @throws Fault 5 for nonsense */
export function* trial(): Generator<Move, void, Buffer> {
  for (let reads = 0; reads < 2; reads++) {
    const handle = randomBytes(8)
    yield { send: encodeRead(handle) }
    const header = yield { read: 16 }
    if (header.readUInt32BE(0) !== REPLY_MAGIC) throw nonsense('the reply has a wrong magic number')
    if (!header.subarray(8, 16).equals(handle)) throw nonsense('the reply belongs to no request')
    if (header.readUInt32BE(4) === 0) yield { read: lengthBytes }
  }
}

/** The first block: every disk has one. */
function encodeRead(handle: Buffer): Buffer {
  const bytes = Buffer.alloc(28)
  bytes.writeUInt32BE(REQUEST_MAGIC, 0)
  bytes.writeUInt16BE(CMD_READ, 6)
  handle.copy(bytes, 8)
  bytes.writeUInt32BE(lengthBytes, 24)
  return bytes
}

function nonsense(what: string): Fault {
  return new Fault(Exit.trust, `the server answers a read with nonsense: ${what}`, {
    stands: 'nothing was handed to the kernel',
  })
}
