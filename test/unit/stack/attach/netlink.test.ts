import { describe, expect, it } from 'vitest'
import { ask, KernelRefusal } from '../../../../src/stack/attach/genl.ts'
import { deadLinks } from '../../../../src/stack/attach/linkdead.ts'
import {
  CTRL_ATTR_FAMILY_NAME,
  CTRL_CMD_GETFAMILY,
  decodeAnswers,
  decodeAttributes,
  decodeFamily,
  decodeStatus,
  encodeRequest,
  GENL_ID_CTRL,
  NbdAttribute,
  NbdCommand,
  sockets,
  text,
  u32,
  u64,
} from '../../../../src/stack/attach/netlink.ts'

const bytes = (...words: string[]) => Buffer.from(words.join('').replaceAll(' ', ''), 'hex')

describe('requests', () => {
  it('CONNECT is laid out as the kernel reads it', () => {
    const request = encodeRequest({
      family: 0x1d,
      command: NbdCommand.connect,
      sequence: 1,
      attributes: [
        u32(NbdAttribute.index, 3),
        u64(NbdAttribute.sizeBytes, 0x1_0000_0000n),
        text(NbdAttribute.backendIdentifier, 'cv-v-a'),
        sockets([22]),
      ],
    })
    expect(request.toString('hex')).toBe(
      bytes(
        // length 68, family 0x1d, REQUEST|ACK, sequence 1, port 0; command 1, version 1, reserved
        '44000000 1d00 0500 01000000 00000000',
        '01 01 0000',
        '0800 0100 03000000',
        '0c00 0200 0000000001000000',
        // "cv-v-a" and its zero are 7 bytes: the length says 11, one byte of padding follows
        '0b00 0a00 63762d762d6100 00',
        // sockets (7, nested) > item (1, nested) > fd (1)
        '1000 0780 0c00 0180 0800 0100 16000000',
      ).toString('hex'),
    )
  })
})

describe('answers', () => {
  const header = (type: number, flags: number, body: string) => {
    const rest = bytes(body)
    const head = Buffer.alloc(16)
    head.writeUInt32LE(16 + rest.length, 0)
    head.writeUInt16LE(type, 4)
    head.writeUInt16LE(flags, 6)
    head.writeUInt32LE(1, 8)
    return Buffer.concat([head, rest])
  }

  it('an acknowledgement and an error carry the errno', () => {
    expect(decodeAnswers(header(2, 0, `00000000 ${'00'.repeat(16)}`))).toEqual([
      { kind: 'error', sequence: 1, errno: 0 },
    ])
    expect(decodeAnswers(header(2, 0, `f0ffffff ${'00'.repeat(16)}`))).toEqual([
      { kind: 'error', sequence: 1, errno: 16 },
    ])
  })

  it("the kernel's own sentence is kept", () => {
    const sentence = Buffer.from('bad\0').toString('hex')
    expect(decodeAnswers(header(2, 0x200, `eaffffff ${'00'.repeat(16)} 0800 0100 ${sentence}`))).toEqual([
      { kind: 'error', sequence: 1, errno: 22, why: 'bad' },
    ])
  })

  it('several messages in one datagram are all read, a truncated one ends it', () => {
    const one = header(0x1d, 0, '04 01 0000 0800 0100 05000000')
    expect(deadLinks(Buffer.concat([one, one, one.subarray(0, 20)]), 0x1d)).toEqual([5, 5])
  })

  it('alarms of another family or command are not ours', () => {
    expect(deadLinks(header(0x1e, 0, '04 01 0000 0800 0100 05000000'), 0x1d)).toEqual([])
    expect(deadLinks(header(0x1d, 0, '05 01 0000 0800 0100 05000000'), 0x1d)).toEqual([])
  })

  it('a family description gives id, highest attribute and groups', () => {
    const family = decodeFamily(
      decodeAttributes(
        bytes(
          '0600 0100 1d00 0000',
          '0800 0500 0a000000',
          // groups (7) > 1 > name (1) "nbd_mc_group", id (2) 6
          '2400 0780 2000 0180 1100 0100 6e62645f6d635f67726f757000 000000 0800 0200 06000000',
        ),
      ),
    )
    expect(family).toEqual({ id: 0x1d, highestAttribute: 10, groups: new Map([['nbd_mc_group', 6]]) })
    expect(decodeFamily([])).toBeNull()
  })

  it('STATUS lists devices', () => {
    // list (9) > item (1) > index (1) 2, connected (2) 1
    const list = decodeAttributes(bytes('1800 0980 1400 0180 0800 0100 02000000 0500 0200 01 000000'))
    expect(decodeStatus(list)).toEqual([{ index: 2, connected: true }])
  })

  it('lengths that do not fit end the reading, whatever they say', () => {
    expect(decodeAttributes(bytes('0300 0100 00000000'))).toEqual([])
    expect(decodeAttributes(bytes('ffff 0100 00000000'))).toEqual([])
    expect(decodeAnswers(bytes('00000000 0200 0000 01000000 00000000'))).toEqual([])
    expect(decodeAnswers(header(2, 0, ''))).toEqual([])
    expect(decodeAnswers(header(2, 0x200, '00000000'))).toEqual([{ kind: 'error', sequence: 1, errno: 0 }])
  })
})

describe('the running kernel', () => {
  it('names its controller family', async () => {
    const [answer] = await ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, [text(CTRL_ATTR_FAMILY_NAME, 'nlctrl')])
    expect(decodeFamily(answer?.attributes ?? [])).toMatchObject({ id: GENL_ID_CTRL })
  })

  it('refuses a family that does not exist with ENOENT', async () => {
    const refused = ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, [text(CTRL_ATTR_FAMILY_NAME, 'no_such')])
    await expect(refused).rejects.toBeInstanceOf(KernelRefusal)
    await expect(refused).rejects.toMatchObject({ code: 'ENOENT', errno: 2 })
  })
})
