/**
 * The NBD fixed-newstyle handshake as a conversation without a socket: it says what to send and how many bytes it wants,
 * and ends with what the server offers. What the server says is never believed about lengths, and a lie ends it.
 * Protocol: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
 */
import { Exit, Fault } from '../../fault.ts'

/** One move of the conversation: bytes for the server, or the number of bytes wanted from it. */
export type Move = { readonly send: Buffer } | { readonly read: number }

/** What the server says about the export; `flags` go to the kernel unchanged. */
export interface Offer {
  readonly sizeBytes: bigint
  /** Transmission flags, 16 bits. */
  readonly flags: number
  readonly readOnly: boolean
  readonly canFlush: boolean
  readonly canFua: boolean
  readonly canTrim: boolean
  readonly canMultiConn: boolean
  /** Bytes. Absent when the server does not say. */
  readonly minimumBlock?: number
  readonly preferredBlock?: number
  readonly maximumBlock?: number
}

export type RefusalReason = 'unknown export' | 'tls required' | 'policy' | 'shutting down' | 'other'

/** The server answered, and its answer to our export name was no. */
export class Refusal extends Fault {
  readonly reason: RefusalReason

  constructor(exit: Fault['exit'], reason: RefusalReason, what: string, details: Fault['details'] = {}) {
    super(exit, what, details)
    this.name = 'Refusal'
    this.reason = reason
  }

  override with(details: Fault['details']): Refusal {
    return new Refusal(this.exit, this.reason, this.message, { ...details, ...this.details })
  }
}

const NBDMAGIC = 0x4e42444d41474943n
const IHAVEOPT = 0x49484156454f5054n
const OLDSTYLE = 0x00420281861253n
const REPLY_MAGIC = 0x0003e889045565a9n
const FLAG_FIXED_NEWSTYLE = 1
const FLAG_NO_ZEROES = 2
const OPT_GO = 7
const REP_ACK = 1
const REP_INFO = 3
const REP_ERROR = 0x80000000
const INFO_EXPORT = 0
const INFO_BLOCK_SIZE = 3

/** The protocol's limit for strings, and room for the fixed part around one. */
const maximumReply = 4096 + 64
/** One export, one block size, a name, a description, one acknowledgement: an honest server needs five. */
const maximumReplies = 16

export const TransmissionFlag = {
  hasFlags: 1,
  readOnly: 2,
  sendFlush: 4,
  sendFua: 8,
  sendTrim: 32,
  canMultiConn: 256,
} as const

/** Yields moves, is given the bytes it asked for, returns the offer. @throws Fault exit 5 for lies, Refusal for a no. */
export function* handshake(exportName: string): Generator<Move, Offer, Buffer> {
  const greeting = yield { read: 18 }
  const clientFlags = readGreeting(greeting)
  yield { send: encodeClientFlags(clientFlags) }
  yield { send: encodeGo(exportName) }
  const said: { export?: Offer; block?: BlockSizes } = {}
  for (let replies = 0; replies < maximumReplies; replies++) {
    const header = readReplyHeader(yield { read: 20 })
    const data = header.length > 0 ? yield { read: header.length } : Buffer.alloc(0)
    if (header.type >= REP_ERROR) throw refusal(header.type, exportName, data)
    if (header.type === REP_ACK) return conclude(said, data)
    if (header.type !== REP_INFO)
      throw lie(`answered with reply type ${header.type}, which does not belong here`)
    readInfo(data, said)
  }
  throw lie(`sent more than ${maximumReplies} replies to one question`)
}

/** The client flags to answer with. */
export function readGreeting(greeting: Buffer): number {
  if (greeting.readBigUInt64BE(0) !== NBDMAGIC) throw lie('does not speak NBD (wrong magic number)')
  const second = greeting.readBigUInt64BE(8)
  if (second === OLDSTYLE) throw lie('speaks only the oldstyle NBD handshake')
  if (second !== IHAVEOPT) throw lie('does not speak NBD (wrong second magic number)')
  const flags = greeting.readUInt16BE(16)
  if ((flags & FLAG_FIXED_NEWSTYLE) === 0) throw lie('does not offer the fixed-newstyle NBD handshake')
  return FLAG_FIXED_NEWSTYLE | (flags & FLAG_NO_ZEROES)
}

export function encodeClientFlags(flags: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(flags)
  return bytes
}

/** NBD_OPT_GO for one export, asking for its block sizes too. */
export function encodeGo(exportName: string): Buffer {
  const name = Buffer.from(exportName, 'utf8')
  if (name.length > 4096) throw new RangeError('an export name has at most 4096 bytes')
  const bytes = Buffer.alloc(16 + 4 + name.length + 4)
  bytes.writeBigUInt64BE(IHAVEOPT, 0)
  bytes.writeUInt32BE(OPT_GO, 8)
  bytes.writeUInt32BE(4 + name.length + 4, 12)
  bytes.writeUInt32BE(name.length, 16)
  name.copy(bytes, 20)
  bytes.writeUInt16BE(1, 20 + name.length)
  bytes.writeUInt16BE(INFO_BLOCK_SIZE, 22 + name.length)
  return bytes
}

/** @throws Fault exit 5 when the length is beyond what the protocol allows: it is checked before anything is read or allocated. */
export function readReplyHeader(header: Buffer): { type: number; length: number } {
  if (header.readBigUInt64BE(0) !== REPLY_MAGIC) throw lie('sent a reply with a wrong magic number')
  const option = header.readUInt32BE(8)
  if (option !== OPT_GO) throw lie(`answered option ${option}, which was not asked`)
  const length = header.readUInt32BE(16)
  if (length > maximumReply)
    throw lie(`announced a reply of ${length} bytes (at most ${maximumReply} make sense)`)
  return { type: header.readUInt32BE(12), length }
}

interface BlockSizes {
  readonly minimumBlock: number
  readonly preferredBlock: number
  readonly maximumBlock: number
}

/** Information we did not ask for is allowed by the protocol and ignored. */
function readInfo(data: Buffer, said: { export?: Offer; block?: BlockSizes }): void {
  if (data.length < 2) throw lie('sent an empty information reply')
  const kind = data.readUInt16BE(0)
  if (kind === INFO_EXPORT) said.export = readExport(data)
  else if (kind === INFO_BLOCK_SIZE) said.block = readBlockSizes(data)
}

function readExport(data: Buffer): Offer {
  if (data.length !== 12) throw lie(`described the export in ${data.length} bytes instead of 12`)
  const sizeBytes = data.readBigUInt64BE(2)
  const flags = data.readUInt16BE(10)
  if (sizeBytes === 0n) throw lie('offers an export of size 0')
  if (sizeBytes > 0x7fff_ffff_ffff_ffffn) throw lie(`offers an impossible size of ${sizeBytes} bytes`)
  if ((flags & TransmissionFlag.hasFlags) === 0)
    throw lie('sent transmission flags without saying that it has any')
  return {
    sizeBytes,
    flags,
    readOnly: (flags & TransmissionFlag.readOnly) !== 0,
    canFlush: (flags & TransmissionFlag.sendFlush) !== 0,
    canFua: (flags & TransmissionFlag.sendFua) !== 0,
    canTrim: (flags & TransmissionFlag.sendTrim) !== 0,
    canMultiConn: (flags & TransmissionFlag.canMultiConn) !== 0,
  }
}

function readBlockSizes(data: Buffer): BlockSizes {
  if (data.length !== 14) throw lie(`described its block sizes in ${data.length} bytes instead of 14`)
  const [minimumBlock, preferredBlock, maximumBlock] = [2, 6, 10].map((at) => data.readUInt32BE(at)) as [
    number,
    number,
    number,
  ]
  const powerOfTwo = (value: number) => value > 0 && Number.isInteger(Math.log2(value))
  if (!powerOfTwo(minimumBlock) || maximumBlock < minimumBlock || preferredBlock < minimumBlock)
    throw lie(`offers impossible block sizes (${minimumBlock}, ${preferredBlock}, ${maximumBlock})`)
  return { minimumBlock, preferredBlock, maximumBlock }
}

function conclude(said: { export?: Offer; block?: BlockSizes }, data: Buffer): Offer {
  if (data.length > 0) throw lie('put data into an acknowledgement')
  if (said.export === undefined) throw lie('agreed without saying what it offers')
  return { ...said.export, ...said.block }
}

function refusal(type: number, exportName: string, data: Buffer): Refusal {
  // The text is the server's: bounded here, escaped by whoever prints it.
  const details = data.length > 0 ? { detail: data.toString('utf8').slice(0, 400) } : {}
  switch (type - REP_ERROR) {
    case 1:
      return new Refusal(Exit.trust, 'other', 'the server does not know NBD_OPT_GO', details)
    case 2:
      return new Refusal(Exit.unreachable, 'policy', 'the server refuses this client by its policy', details)
    case 5:
      return new Refusal(Exit.trust, 'tls required', 'the server wants TLS on this connection', details)
    case 6:
      return new Refusal(
        Exit.unreachable,
        'unknown export',
        `the server has no export "${exportName}"`,
        details,
      )
    case 7:
      return new Refusal(Exit.unreachable, 'shutting down', 'the server is shutting down', details)
    default:
      return new Refusal(
        Exit.trust,
        'other',
        `the server refuses with NBD error ${type - REP_ERROR}`,
        details,
      )
  }
}

/** "the server …": a protocol violation. Nothing was handed to the kernel. */
function lie(what: string): Fault {
  return new Fault(Exit.trust, `the server ${what}`, { stands: 'nothing was handed to the kernel' })
}
