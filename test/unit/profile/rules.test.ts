import { describe, expect, it } from 'vitest'
import { nearest } from '../../../src/profile/nearest.ts'
import { clientRange, hostOrAddress } from '../../../src/profile/rules/address.ts'
import { parseDestination } from '../../../src/profile/rules/destination.ts'
import { hostKey } from '../../../src/profile/rules/hostkey.ts'
import { diskDevice, diskFile, localFile, mountPoint } from '../../../src/profile/rules/path.ts'

describe('destinations', () => {
  it.each([
    ['vps-fsn', { host: 'vps-fsn' }],
    ['root@203.0.113.7', { user: 'root', host: '203.0.113.7' }],
    ['root@vps.example.com:2222', { user: 'root', host: 'vps.example.com', port: 2222 }],
    ['vps:22', { host: 'vps', port: 22 }],
    ['[2001:db8::1]:22', { host: '2001:db8::1', port: 22 }],
    ['root@[2001:db8::1]', { user: 'root', host: '2001:db8::1' }],
  ])('%s', (text, expected) => {
    expect(parseDestination(text)).toEqual(expected)
  })

  it.each([
    'ssh://host',
    'a:0',
    'a:65536',
    'a:',
    'a:022',
    '[::1',
    '[x]',
    'a..b',
    '300.1.1.1',
    'A@host',
    '@host',
    'a@',
  ])('%s is refused', (text) => {
    expect(parseDestination(text)).toHaveProperty('fault')
  })
})

describe('client ranges', () => {
  it.each([
    '198.51.100.4',
    '198.51.100.0/24',
    '10.0.0.0/8',
    '2001:db8::/32',
    '2001:db8::1',
    '::ffff:192.0.2.0/120',
  ])('%s', (text) => {
    expect(clientRange(text)).toBeNull()
  })
  it.each([
    '0.0.0.0',
    '::',
    '128.0.0.0/0',
    '1.2.3.4/24',
    '2001:db8::1/32',
    '1.2.3.4/',
    '1.2.3.4/08',
    '1.2.3.4/8/8',
    'fe80::1%e/64',
    'all',
  ])('%s is refused', (text) => {
    expect(clientRange(text)).not.toBeNull()
  })
})

describe('other values', () => {
  it('hosts and addresses', () => {
    for (const good of ['203.0.113.7', '2001:db8::1', 'nbd.example.com'])
      expect(hostOrAddress(good)).toBeNull()
    for (const bad of ['0.0.0.0', '::', '[::1]', '-x', 'a b', '']) expect(hostOrAddress(bad)).not.toBeNull()
  })
  it('paths', () => {
    for (const good of ['/srv/a.img', '/var/lib/cloudvault/a', '/home/anna/a.img', '/a'])
      expect(diskFile(good)).toBeNull()
    for (const good of ['/vault/a', '/mnt', '/home/anna/vault', '/media/usb'])
      expect(mountPoint(good)).toBeNull()
    for (const good of ['/root/with space', '/root/ümlaut']) expect(localFile(good)).toBeNull()
    for (const bad of ['/srv/', '/srv//a', '/srv/./a', '/tmp/a', '/run/a', '/usr/a', `/${'a'.repeat(1000)}`])
      expect(diskFile(bad), bad).not.toBeNull()
    for (const bad of ['/root', '/var/lib', '/boot/x', '/vault/a b', '/vault/é'])
      expect(mountPoint(bad), bad).not.toBeNull()
    for (const good of ['/dev/disk/by-id/scsi-0a', '/dev/disk/by-path/pci-0000:00:1f.2', '/dev/mapper/vg-lv'])
      expect(diskDevice(good)).toBeNull()
    for (const bad of ['/dev/sda', '/dev/nvme0n1', '/srv/a', '/dev/disk/by-id/', '/dev/disk/by-id/../../sda'])
      expect(diskDevice(bad), bad).not.toBeNull()
  })
  it('host keys', () => {
    expect(hostKey('SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU')).toBeNull()
    for (const bad of ['', 'SHA256:', 'sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU', 'SHA1:x'])
      expect(hostKey(bad)).not.toBeNull()
  })
})

describe('did you mean', () => {
  const keys = ['name', 'provider', 'ssh', 'host_key', 'disk', 'patience']
  it.each([
    ['host-key', 'host_key'],
    ['hostkey', 'host_key'],
    ['pateince', 'patience'],
    ['Provider', 'provider'],
    ['dsik', 'disk'],
    ['providers_name', 'provider'],
  ])('%s → %s', (typed, meant) => {
    expect(nearest(typed, keys)).toBe(meant)
  })
  it('is silent when nothing is near', () => {
    for (const typed of ['colour', 'xyz', '', 'a'.repeat(100)]) expect(nearest(typed, keys)).toBeUndefined()
  })
})
