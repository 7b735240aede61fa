import { isIP, isIPv4, isIPv6 } from 'node:net'
import type { Rule } from './path.ts'

/**
 * IP addresses, ranges and host names. A name that starts with a dash would be read as an option by ssh, one with
 * shell characters as a command: both are refused here, before any program sees them.
 */

/** A host name or an IPv4 address, in the form everything else can print and compare. */
export const hostName: Rule = (value) => {
  if (value === '') return 'the host name is empty'
  if (value.startsWith('-')) return 'a host name may not start with "-" (ssh would read it as an option)'
  const at = [...value].findIndex((char) => !/[A-Za-z0-9._-]/.test(char))
  if (at >= 0) return `the host name has a character that is not allowed at position ${at + 1}`
  if (value.length > 253) return 'the host name is longer than 253 characters'
  if (value.endsWith('.')) return `write it without the dot at the end: ${value.replace(/\.+$/, '')}`
  if (value.split('.').some((label) => label === '' || label.length > 63))
    return 'every part of a host name has 1 to 63 characters'
  if (/^[0-9.]+$/.test(value) && !isIPv4(value)) return 'is not an IPv4 address'
  return null
}

/** A host name or an IP address without brackets. */
export const hostOrAddress: Rule = (value) => {
  if (isIPv6(value)) return value.includes('%') ? 'a zone id (%…) is not allowed' : unspecified(value)
  if (/^\[.*\]$/.test(value)) return 'write the address without brackets'
  return hostName(value) ?? unspecified(value)
}

const unspecified: Rule = (value) =>
  /^(0\.0\.0\.0|[0:]+)$/.test(value) ? 'means every interface: NBD has no authentication of its own' : null

/** An address or range that may connect: "198.51.100.4", "2001:db8::/48". */
export const clientRange: Rule = (value) => {
  const [address = '', prefix, ...rest] = value.split('/')
  const kind = isIP(address)
  if (kind === 0 || address.includes('%') || rest.length > 0) return 'is not an IP address or range (CIDR)'
  const bits = kind === 4 ? 32 : 128
  if (prefix === undefined) return unspecified(address)
  if (!/^(0|[1-9][0-9]{0,2})$/.test(prefix) || Number(prefix) > bits)
    return `the part after / must be 1 to ${bits}`
  const length = Number(prefix)
  if (length === 0) return 'would open an unauthenticated disk to the whole internet'
  const network = networkOf(address, length)
  return network === bytesOf(address).join('.') ? null : hostBits(address, length, kind)
}

const hostBits = (address: string, length: number, kind: number): string =>
  kind === 4
    ? `has bits set behind /${length}; write ${networkOf(address, length)}/${length} or the address alone`
    : `has bits set behind /${length}; write the first address of the range, or the address alone`

const networkOf = (address: string, length: number): string =>
  bytesOf(address)
    .map((byte, i) => {
      const keep = Math.max(0, Math.min(8, length - i * 8))
      return byte & (0xff << (8 - keep)) & 0xff
    })
    .join('.')

/** The address as 4 or 16 bytes. The caller has checked it with `isIP`. */
const bytesOf = (address: string): number[] => {
  if (isIPv4(address)) return address.split('.').map(Number)
  // An IPv4 tail (::ffff:192.0.2.1) is two groups of the IPv6 form.
  const text = address.replace(/([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)$/, (_, a, b, c, d) =>
    [Number(a) * 256 + Number(b), Number(c) * 256 + Number(d)].map((n) => n.toString(16)).join(':'),
  )
  const [head = '', tail] = text.split('::')
  const groups = (part: string): string[] => part.split(':').filter(Boolean)
  const front = groups(head)
  const back = tail === undefined ? [] : groups(tail)
  const middle = Array<string>(8 - front.length - back.length).fill('0')
  return [...front, ...middle, ...back].flatMap((group) => {
    const word = Number.parseInt(group, 16)
    return [word >> 8, word & 0xff]
  })
}
