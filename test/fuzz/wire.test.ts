import fc from 'fast-check'
import { expect } from 'vitest'
import { hostKeyOf, knownHostsLine } from '../../src/host/ssh/key.ts'
import { handshake, type Move, type Offer, Refusal } from '../../src/stack/attach/handshake.ts'
import { deadLinks } from '../../src/stack/attach/linkdead.ts'
import {
  decodeAnswers,
  decodeAttributes,
  decodeFamily,
  decodeStatus,
  encodeRequest,
  nested,
  text,
  u32,
  u64,
} from '../../src/stack/attach/netlink.ts'
import { checkOffer } from '../../src/stack/attach/offer.ts'
import { trial } from '../../src/stack/attach/trial.ts'
import {
  acknowledged,
  blockSizes,
  goodFlags,
  greeting,
  honest,
  info,
  reply,
} from '../unit/stack/attach/support/nbd-server.ts'
import { expectPrintable, fuzz, printed } from './fuzz.ts'
import { bytesLike } from './inputs.ts'

/** What comes in as bytes: the NBD handshake, replies to the trial reads, netlink messages, SSH host keys. */

/** Moves of a conversation before it must have come to an end, and the most that may be asked for at once. */
const [mostMoves, mostBytes] = [64, 8192]

/** Plays a server that says these bytes and then nothing more. @returns undefined when it was left waiting */
const converse = <T>(talk: Generator<Move, T, Buffer>, said: Buffer): T | undefined => {
  let at = 0
  let step = talk.next(Buffer.alloc(0))
  for (let moves = 0; !step.done; moves++) {
    expect(moves).toBeLessThan(mostMoves)
    if ('send' in step.value) {
      step = talk.next(Buffer.alloc(0))
      continue
    }
    const wanted = step.value.read
    expect(wanted).toBeLessThanOrEqual(mostBytes)
    if (at + wanted > said.length) return undefined
    step = talk.next(said.subarray(at, at + wanted))
    at += wanted
  }
  return step.value
}

const refusing = Buffer.concat([
  greeting(),
  reply(0x80000006, Buffer.from('no \x1b[31msuch\x07 export \u202e')),
])
const wordy = Buffer.concat([
  greeting(1),
  ...Array.from({ length: 40 }, () => info(1n << 30n, goodFlags)),
  acknowledged,
])
const sized = Buffer.concat([
  greeting(),
  info(1n << 30n, goodFlags),
  blockSizes(1, 4096, 1 << 25),
  acknowledged,
])

fuzz(
  'an NBD handshake',
  bytesLike(honest, refusing, wordy, sized),
  (said) => {
    let offer: Offer | undefined
    try {
      offer = converse(handshake('disk'), said)
    } catch (error) {
      if (error instanceof Refusal) expectPrintable(printed(error.with({ member: 'fsn' })))
      throw error
    }
    if (offer === undefined) return
    expect(offer.sizeBytes > 0n && offer.sizeBytes < 1n << 63n).toBe(true)
    expectPrintable(checkOffer(offer, { sizes: [2 ** 30] }) ?? '')
  },
  4000,
)

fuzz(
  'replies to the trial reads',
  bytesLike(Buffer.alloc(9000), Buffer.from('6744669800000000', 'hex')),
  (said) => {
    expect(converse(trial(), said)).toBeUndefined() // nobody guesses the handle
  },
)

const family = encodeRequest({
  family: 16,
  command: 1,
  sequence: 1,
  attributes: [
    { type: 1, data: Buffer.from([0x1d, 0]) },
    text(2, 'nbd'),
    u32(5, 10),
    nested(7, [nested(1, [text(1, 'nbd_mc_group'), u32(2, 9)])]),
  ],
})
const status = encodeRequest({
  family: 0x1d,
  command: 5,
  sequence: 1,
  attributes: [
    nested(9, [nested(1, [u32(1, 3), { type: 2, data: Buffer.from([1]) }])]),
    u32(1, 3),
    u64(2, 1n << 40n),
  ],
})
const refused = Buffer.concat([family.subarray(0, 16), Buffer.from([0xea, 0xff, 0xff, 0xff]), family])
refused.writeUInt16LE(2, 4)

fuzz(
  'a netlink datagram',
  bytesLike(family, status, refused, Buffer.concat([family, status, refused])),
  (datagram) => {
    const answers = decodeAnswers(datagram)
    expect(answers.length).toBeLessThanOrEqual(datagram.length / 16 + 1)
    for (const answer of answers)
      if (answer.kind === 'message') {
        decodeFamily(answer.attributes)
        decodeStatus(answer.attributes)
      }
    deadLinks(datagram, 0x1d)
    decodeStatus(decodeAttributes(datagram))
  },
  4000,
)

const key = Buffer.concat([Buffer.from('0000000b', 'hex'), Buffer.from('ssh-ed25519'), Buffer.alloc(36, 7)])
fuzz('an SSH host key', fc.oneof(bytesLike(key), bytesLike(Buffer.alloc(80))), (blob) => {
  const found = hostKeyOf(blob)
  if (found)
    expect(knownHostsLine('cv-photos-fsn', found)).toMatch(/^cv-photos-fsn [a-z0-9@.-]+ [A-Za-z0-9+/=]+\n$/)
})
