/** Socket addresses as the kernel reads them: sockaddr_un, sockaddr_in, sockaddr_in6, sockaddr_nl. Pure bytes, no calls. */
import { isIPv4, isIPv6 } from 'node:net'
import { Exit, Fault } from '../../fault.ts'
import { AF_INET, AF_INET6, AF_NETLINK, AF_UNIX } from './libc.ts'

export interface Address {
  readonly family: number
  readonly bytes: Buffer
}

/** The family stands first, in the machine's byte order (little-endian wherever koffi has a binary). */
export function encodeUnix(path: string): Address {
  const name = Buffer.from(path, 'utf8')
  if (name.length === 0 || name.length > 107 || name.includes(0))
    throw new Fault(Exit.usage, `a unix socket path has 1 to 107 bytes, this one has ${name.length}: ${path}`)
  const bytes = Buffer.alloc(2 + name.length + 1)
  bytes.writeUInt16LE(AF_UNIX, 0)
  name.copy(bytes, 2)
  return { family: AF_UNIX, bytes }
}

/** `host` is an address, not a name. */
export function encodeInet(host: string, port: number): Address {
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new Fault(Exit.usage, `a port is a number from 1 to 65535, not ${port}`)
  if (isIPv4(host)) {
    const bytes = Buffer.alloc(16)
    bytes.writeUInt16LE(AF_INET, 0)
    bytes.writeUInt16BE(port, 2)
    Buffer.from(host.split('.').map(Number)).copy(bytes, 4)
    return { family: AF_INET, bytes }
  }
  if (!isIPv6(host) || host.includes('%'))
    throw new Fault(Exit.usage, `not an IPv4 or IPv6 address (zones are not supported): ${host}`)
  const bytes = Buffer.alloc(28)
  bytes.writeUInt16LE(AF_INET6, 0)
  bytes.writeUInt16BE(port, 2)
  for (const [index, group] of expandIPv6(host).entries()) bytes.writeUInt16BE(group, 8 + 2 * index)
  return { family: AF_INET6, bytes }
}

/** Any free netlink address: the kernel chooses the number. */
export function encodeNetlink(): Buffer {
  const bytes = Buffer.alloc(12)
  bytes.writeUInt16LE(AF_NETLINK, 0)
  return bytes
}

/** The eight groups. The URL parser brings every spelling, embedded IPv4 included, into one form. */
function expandIPv6(host: string): number[] {
  const plain = new URL(`http://[${host}]`).hostname.slice(1, -1)
  const [head = '', tail] = plain.split('::')
  const groups = (text: string) =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const front = groups(head)
  const back = tail === undefined ? [] : groups(tail)
  return [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back]
}
