/**
 * Generic netlink messages as bytes: family lookup, the family `nbd`, and the answers. Encoding and decoding only.
 * Numbers are in the machine's byte order, which is little-endian wherever koffi has a binary.
 * Layouts: include/uapi/linux/netlink.h, genetlink.h and nbd-netlink.h.
 */

export const NETLINK_GENERIC = 16
export const SOL_NETLINK = 270
export const NETLINK_ADD_MEMBERSHIP = 1
export const NETLINK_CAP_ACK = 10
export const NETLINK_EXT_ACK = 11
/** The one family whose id is fixed: it tells the ids of the others. */
export const GENL_ID_CTRL = 16
export const CTRL_CMD_GETFAMILY = 3

const NLMSG_ERROR = 2
const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const NLM_F_ACK_TLVS = 0x200
const NLA_F_NESTED = 0x8000
const NLA_TYPE_MASK = 0x3fff

export const NbdCommand = { connect: 1, disconnect: 2, reconfigure: 3, linkDead: 4, status: 5 } as const

export const NbdAttribute = {
  index: 1,
  sizeBytes: 2,
  blockSizeBytes: 3,
  timeout: 4,
  serverFlags: 5,
  clientFlags: 6,
  sockets: 7,
  deadConnTimeout: 8,
  deviceList: 9,
  backendIdentifier: 10,
} as const

export interface Attribute {
  readonly type: number
  readonly data: Buffer
}

export const u32 = (type: number, value: number): Attribute => {
  const data = Buffer.alloc(4)
  data.writeUInt32LE(value)
  return { type, data }
}

export const u64 = (type: number, value: bigint | number): Attribute => {
  const data = Buffer.alloc(8)
  data.writeBigUInt64LE(BigInt(value))
  return { type, data }
}

/** With its closing zero byte, as the kernel's string policy wants it. */
export const text = (type: number, value: string): Attribute => ({
  type,
  data: Buffer.from(`${value}\0`, 'utf8'),
})

export const nested = (type: number, inner: readonly Attribute[]): Attribute => ({
  type: type | NLA_F_NESTED,
  data: encodeAttributes(inner),
})

/** The sockets of a device: a list of items, each with one descriptor. */
export const sockets = (fds: readonly number[]): Attribute =>
  nested(
    NbdAttribute.sockets,
    fds.map((fd) => nested(1, [u32(1, fd)])),
  )

/** Every attribute starts on a multiple of 4; its length field does not count the padding. */
export function encodeAttributes(attributes: readonly Attribute[]): Buffer {
  return Buffer.concat(
    attributes.map(({ type, data }) => {
      const bytes = Buffer.alloc(align(4 + data.length))
      bytes.writeUInt16LE(4 + data.length, 0)
      bytes.writeUInt16LE(type, 2)
      data.copy(bytes, 4)
      return bytes
    }),
  )
}

export interface Request {
  readonly family: number
  readonly command: number
  readonly sequence: number
  readonly attributes: readonly Attribute[]
}

/** A request that wants an acknowledgement: the answer is certain to come, success or not. */
export function encodeRequest({ family, command, sequence, attributes }: Request): Buffer {
  const body = encodeAttributes(attributes)
  const bytes = Buffer.alloc(20 + body.length)
  bytes.writeUInt32LE(bytes.length, 0)
  bytes.writeUInt16LE(family, 4)
  bytes.writeUInt16LE(NLM_F_REQUEST | NLM_F_ACK, 6)
  bytes.writeUInt32LE(sequence, 8)
  bytes.writeUInt8(command, 16)
  bytes.writeUInt8(1, 17)
  body.copy(bytes, 20)
  return bytes
}

export type Answer =
  /** `errno` 0 is the acknowledgement. `why` is the kernel's own sentence, when it has one. */
  | { readonly kind: 'error'; readonly sequence: number; readonly errno: number; readonly why?: string }
  | {
      readonly kind: 'message'
      readonly sequence: number
      readonly family: number
      readonly command: number
      readonly attributes: readonly Attribute[]
    }

/** Splits one datagram; what does not parse ends it. */
export function decodeAnswers(datagram: Buffer): Answer[] {
  const answers: Answer[] = []
  for (let at = 0; at + 16 <= datagram.length; ) {
    const length = datagram.readUInt32LE(at)
    if (length < 16 || at + length > datagram.length) break
    const answer = decodeMessage(datagram.subarray(at, at + length))
    if (answer !== null) answers.push(answer)
    at += align(length)
  }
  return answers
}

function decodeMessage(message: Buffer): Answer | null {
  const type = message.readUInt16LE(4)
  const flags = message.readUInt16LE(6)
  const sequence = message.readUInt32LE(8)
  if (type === NLMSG_ERROR) {
    if (message.length < 20) return null
    const errno = -message.readInt32LE(16)
    const why = (flags & NLM_F_ACK_TLVS) !== 0 ? extendedText(message) : undefined
    return { kind: 'error', sequence, errno: errno === 0 ? 0 : errno, ...(why === undefined ? {} : { why }) }
  }
  if (type < GENL_ID_CTRL || message.length < 20) return null
  return {
    kind: 'message',
    sequence,
    family: type,
    command: message.readUInt8(16),
    attributes: decodeAttributes(message.subarray(20)),
  }
}

/** Capped acknowledgements carry only the header of the request before the kernel's sentence (attribute 1). */
function extendedText(message: Buffer): string | undefined {
  const sentence = decodeAttributes(message.subarray(36)).find(({ type }) => type === 1)
  return sentence === undefined ? undefined : decodeText(sentence.data)
}

/** Stops at the first attribute whose length does not fit. */
export function decodeAttributes(bytes: Buffer): Attribute[] {
  const attributes: Attribute[] = []
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at)
    if (length < 4 || at + length > bytes.length) break
    attributes.push({
      type: bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK,
      data: bytes.subarray(at + 4, at + length),
    })
    at += align(length)
  }
  return attributes
}

/** The number in the attribute of that type, or null when it is missing or too short. */
export function readU32(attributes: readonly Attribute[], type: number): number | null {
  const found = attributes.find((attribute) => attribute.type === type)
  return found === undefined || found.data.length < 4 ? null : found.data.readUInt32LE()
}

export interface Family {
  readonly id: number
  /** The highest attribute this kernel knows: 10 means it has the backend identifier (Linux 5.14). */
  readonly highestAttribute: number
  /** Multicast group ids by name. */
  readonly groups: ReadonlyMap<string, number>
}

const CTRL_ATTR_FAMILY_ID = 1
export const CTRL_ATTR_FAMILY_NAME = 2
const CTRL_ATTR_MAXATTR = 5
const CTRL_ATTR_MCAST_GROUPS = 7

/** The answer to CTRL_CMD_GETFAMILY; null when it makes no sense. */
export function decodeFamily(attributes: readonly Attribute[]): Family | null {
  const id = attributes.find(({ type }) => type === CTRL_ATTR_FAMILY_ID)
  if (id === undefined || id.data.length < 2) return null
  const groups = new Map<string, number>()
  const listed = attributes.find(({ type }) => type === CTRL_ATTR_MCAST_GROUPS)
  for (const entry of decodeAttributes(listed?.data ?? Buffer.alloc(0))) {
    const group = decodeAttributes(entry.data)
    const name = group.find(({ type }) => type === 1)
    const number = readU32(group, 2)
    if (name !== undefined && number !== null) groups.set(decodeText(name.data), number)
  }
  return {
    id: id.data.readUInt16LE(),
    highestAttribute: readU32(attributes, CTRL_ATTR_MAXATTR) ?? 0,
    groups,
  }
}

/** What STATUS says about each device it knows: index and whether it has a configuration. */
export function decodeStatus(attributes: readonly Attribute[]): { index: number; connected: boolean }[] {
  const list = attributes.find(({ type }) => type === NbdAttribute.deviceList)
  return decodeAttributes(list?.data ?? Buffer.alloc(0)).flatMap((item) => {
    const inner = decodeAttributes(item.data)
    const index = readU32(inner, 1)
    const connected = inner.find(({ type }) => type === 2)
    return index === null ? [] : [{ index, connected: connected?.data.at(0) === 1 }]
  })
}

function decodeText(data: Buffer): string {
  const end = data.indexOf(0)
  return data.toString('utf8', 0, end < 0 ? data.length : end)
}

function align(length: number): number {
  return (length + 3) & ~3
}
