import { expect, it } from 'vitest'
import { encodeInet, encodeNetlink, encodeUnix } from '../../../../src/stack/attach/sockaddr.ts'

it('IPv4', () => {
  expect(encodeInet('10.77.0.2', 10809).bytes.toString('hex')).toBe('02002a390a4d00020000000000000000')
})

it.each([
  ['::1', '00000000000000000000000000000001'],
  ['::', '00000000000000000000000000000000'],
  ['2001:db8::7:0:1', '20010db8000000000000000700000001'],
  ['fe80:1:2:3:4:5:6:7', 'fe800001000200030004000500060007'],
  ['::ffff:10.0.0.1', '00000000000000000000ffff0a000001'],
  ['1::', '00010000000000000000000000000000'],
])('IPv6 %s', (host, hex) => {
  expect(encodeInet(host, 1).bytes.toString('hex')).toBe(`0a00000100000000${hex}00000000`)
})

it('unix paths end with a zero and must fit', () => {
  expect(encodeUnix('/a').bytes.toString('hex')).toBe('01002f6100')
  expect(encodeUnix(`/${'x'.repeat(106)}`).bytes).toHaveLength(110)
  expect(() => encodeUnix(`/${'x'.repeat(107)}`)).toThrow(/1 to 107 bytes/)
  expect(() => encodeUnix('')).toThrow(/1 to 107 bytes/)
  expect(() => encodeUnix('/a\0b')).toThrow(/1 to 107 bytes/)
})

it('what is no address or no port is refused', () => {
  expect(() => encodeInet('example.org', 1)).toThrow(/not an IPv4 or IPv6/)
  expect(() => encodeInet('fe80::1%eth0', 1)).toThrow(/zones/)
  for (const port of [0, 65536, 1.5, Number.NaN]) expect(() => encodeInet('::1', port)).toThrow(/port/)
})

it('a netlink address asks for any number', () => {
  expect(encodeNetlink().toString('hex')).toBe('100000000000000000000000')
})
