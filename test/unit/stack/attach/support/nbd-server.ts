import type { Socket } from 'node:net'

/** What an NBD server says, as bytes written by hand from the protocol text: independent of the code under test. */

export const greeting = (flags = 3) => Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT', 'latin1'), u16(flags)])

/** A reply to NBD_OPT_GO (7). */
export const reply = (type: number, data: Buffer = Buffer.alloc(0), announced = data.length) =>
  Buffer.concat([Buffer.from('0003e889045565a900000007', 'hex'), u32(type), u32(announced), data])

export const info = (size: bigint, flags: number) => reply(3, Buffer.concat([u16(0), u64(size), u16(flags)]))

export const blockSizes = (minimum: number, preferred: number, maximum: number) =>
  reply(3, Buffer.concat([u16(3), u32(minimum), u32(preferred), u32(maximum)]))

export const acknowledged = reply(1)

/** Has flags, flush, FUA, trim. */
export const goodFlags = 0b10_1101

export const honest = Buffer.concat([
  greeting(),
  info(1n << 30n, goodFlags),
  blockSizes(1, 4096, 33554432),
  acknowledged,
])

/** What it says to one request for a block: as it should be, unless told what to say instead. */
export type Replying = (handle: Buffer) => Buffer

const simpleReply: Replying = (handle) =>
  Buffer.concat([Buffer.from('6744669800000000', 'hex'), handle, Buffer.alloc(4096)])

/** Answers reads for ever: requests come one at a time, each in one piece. */
export const answerReads = (socket: Socket, replying: Replying = simpleReply): void => {
  socket.on('data', (heard) => {
    const request = heard.subarray(-28)
    if (request.length === 28 && request.readUInt32BE(0) === 0x25609513)
      socket.write(replying(request.subarray(8, 16)))
  })
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}
