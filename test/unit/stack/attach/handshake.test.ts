import { describe, expect, it } from 'vitest'
import { Exit, Fault } from '../../../../src/fault.ts'
import { encodeGo, Refusal } from '../../../../src/stack/attach/handshake.ts'
import { faultOf } from './support/fault.ts'
import {
  acknowledged,
  blockSizes,
  goodFlags,
  greeting,
  honest,
  info,
  reply,
  u16,
  u32,
  u64,
} from './support/nbd-server.ts'
import { talk } from './support/talk.ts'

const answering = (...replies: Buffer[]) => Buffer.concat([greeting(), ...replies])
const exportInfo = info(1n << 30n, goodFlags)

describe('an honest server', () => {
  it('is asked for its export by name and its offer is understood', () => {
    const { offer, sent } = talk(honest)
    expect(offer).toEqual({
      sizeBytes: 1073741824n,
      flags: 45,
      readOnly: false,
      canFlush: true,
      canFua: true,
      canTrim: true,
      canMultiConn: false,
      minimumBlock: 1,
      preferredBlock: 4096,
      maximumBlock: 33554432,
    })
    // Client flags 3, then IHAVEOPT, option 7, 12 bytes: name length 4, "disk", one information request: 3.
    expect(sent.toString('hex')).toBe(
      '00000003' + '49484156454f5054' + '00000007' + '0000000c' + '00000004' + '6469736b' + '0001' + '0003',
    )
  })

  it('without block sizes and without "no zeroes" is as good', () => {
    const { offer, sent } = talk(Buffer.concat([greeting(1), exportInfo, acknowledged]))
    expect(offer?.maximumBlock).toBeUndefined()
    expect(sent.subarray(0, 4).toString('hex')).toBe('00000001')
  })

  it('may tell more than was asked: name and description are ignored', () => {
    const name = reply(3, Buffer.concat([u16(1), Buffer.from('disk')]))
    const description = reply(3, Buffer.concat([u16(2), Buffer.alloc(4000, 'x')]))
    expect(talk(answering(name, exportInfo, description, acknowledged)).offer?.sizeBytes).toBe(1073741824n)
  })

  it('has every flag read from its own bit', () => {
    const flagsOf = (flags: number) => talk(answering(info(4096n, flags), acknowledged)).offer
    expect(flagsOf(1 | 2)).toMatchObject({ readOnly: true, canFlush: false, canFua: false })
    expect(flagsOf(1 | 4)).toMatchObject({ readOnly: false, canFlush: true, canFua: false })
    expect(flagsOf(1 | 8)).toMatchObject({ canFlush: false, canFua: true, canTrim: false })
    expect(flagsOf(1 | 32)).toMatchObject({ canTrim: true, canMultiConn: false })
    expect(flagsOf(1 | 256)).toMatchObject({ canTrim: false, canMultiConn: true })
  })
})

describe('a lying server', () => {
  const wrongMagic = Buffer.from(reply(1))
  wrongMagic[3] = 0
  const otherOption = Buffer.from(reply(1))
  otherOption[11] = 6
  const lies: [string, Buffer, RegExp][] = [
    ['that is no NBD server', Buffer.from('SSH-2.0-OpenSSH_9.2p1 Debian'), /wrong magic number/],
    ['of the old protocol', Buffer.from('4e42444d4147494300000420281861530000', 'hex'), /second magic/],
    [
      'with oldstyle',
      Buffer.from('4e42444d41474943000042028186125300 00'.replace(' ', ''), 'hex'),
      /oldstyle/,
    ],
    ['without fixed newstyle', greeting(2), /fixed-newstyle/],
    ['with a wrong reply magic', answering(wrongMagic), /reply with a wrong magic/],
    ['that answers another option', answering(otherOption), /option 6, which was not asked/],
    ['with an oversize reply', answering(reply(3, Buffer.alloc(0), 0xffff_ffff)), /4294967295 bytes/],
    ['with a reply just over the limit', answering(reply(3, Buffer.alloc(0), 4161)), /4161 bytes/],
    ['with an oversize error text', answering(reply(0x8000_0006, Buffer.alloc(0), 1 << 20)), /1048576 bytes/],
    ['with endless replies', answering(...Array<Buffer>(40).fill(exportInfo)), /more than 16 replies/],
    ['with size 0', answering(info(0n, goodFlags), acknowledged), /size 0/],
    ['with a size beyond 63 bits', answering(info(1n << 63n, goodFlags), acknowledged), /impossible size/],
    ['with flags that deny themselves', answering(info(4096n, 4), acknowledged), /transmission flags/],
    ['with a short export', answering(reply(3, u16(0)), acknowledged), /2 bytes instead of 12/],
    [
      'with a long export',
      answering(reply(3, Buffer.concat([u16(0), u64(4096n), u16(5), u16(0)]))),
      /14 bytes instead of 12/,
    ],
    ['with empty information', answering(reply(3)), /empty information/],
    ['with short block sizes', answering(reply(3, Buffer.concat([u16(3), u32(1)]))), /6 bytes instead of 14/],
    ['with a minimum of 0', answering(blockSizes(0, 4096, 4096)), /impossible block sizes/],
    ['with a minimum of 3', answering(blockSizes(3, 4096, 4096)), /impossible block sizes/],
    ['with maximum below minimum', answering(blockSizes(4096, 4096, 512)), /impossible block sizes/],
    ['that agrees without an offer', answering(acknowledged), /without saying what it offers/],
    ['with data in its acknowledgement', answering(exportInfo, reply(1, u16(0))), /acknowledgement/],
    ['that lists exports instead', answering(reply(2, u32(0))), /reply type 2/],
  ]

  it.each(lies)('%s is found out (exit 5)', async (_, said, words) => {
    const fault = await faultOf(() => talk(said))
    expect(fault.exit).toBe(Exit.trust)
    expect(fault.message).toMatch(words)
  })
})

describe('a server that says no', () => {
  const no: [number, Refusal['reason'], number][] = [
    [1, 'other', Exit.trust],
    [2, 'policy', Exit.unreachable],
    [3, 'other', Exit.trust],
    [5, 'tls required', Exit.trust],
    [6, 'unknown export', Exit.unreachable],
    [7, 'shutting down', Exit.unreachable],
    [99, 'other', Exit.trust],
  ]
  it.each(no)('with error %i is a refusal: %s', async (code, reason, exit) => {
    const fault = await faultOf(() => talk(answering(reply(0x8000_0000 + code, Buffer.from('because')))))
    expect(fault).toBeInstanceOf(Refusal)
    expect((fault as Refusal).reason).toBe(reason)
    expect(fault.exit).toBe(exit)
    expect(fault.details.detail).toBe('because')
    expect(fault.with({ member: 'fsn' })).toBeInstanceOf(Refusal)
  })

  it('keeps its long speech to itself', async () => {
    const fault = await faultOf(() => talk(answering(reply(0x8000_0006, Buffer.alloc(4000, 'a')))))
    expect(fault.details.detail?.length).toBe(400)
  })
})

it('refuses to send an export name longer than the protocol allows', () => {
  expect(() => encodeGo('x'.repeat(4097))).toThrow(RangeError)
})

describe('noise', () => {
  /** mulberry32: small, seeded, good enough to vary bytes. */
  const random = (seed: number) => () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  const outcome = (said: Buffer): 'offer' | 'starved' | 'fault' => {
    try {
      const { starved, largestRead, moves } = talk(said)
      expect(largestRead).toBeLessThanOrEqual(4160)
      expect(moves).toBeLessThanOrEqual(40)
      return starved ? 'starved' : 'offer'
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      return 'fault'
    }
  }

  it('never makes anything but a Fault, and no large read: 20,000 damaged conversations', () => {
    const next = random(20260)
    const below = (limit: number) => Math.floor(next() * limit)
    const seen = { offer: 0, starved: 0, fault: 0 }
    for (let round = 0; round < 20_000; round++) {
      const said = Buffer.from(honest)
      for (let edits = 1 + below(4); edits > 0; edits--) said[below(said.length)] = below(256)
      const cut = below(4) === 0 ? said.subarray(0, below(said.length)) : said
      seen[outcome(cut)]++
    }
    // All three happen, or the loop proves nothing.
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(100)
  })

  it('after an honest greeting is only a Fault: 5,000 random answers', () => {
    const next = random(7)
    for (let round = 0; round < 5_000; round++) {
      const noise = Buffer.from(Array.from({ length: 64 }, () => Math.floor(next() * 256)))
      expect(outcome(Buffer.concat([greeting(), noise]))).toBe('fault')
    }
  })
})
