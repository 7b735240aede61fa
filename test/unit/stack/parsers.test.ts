import { describe, expect, test } from 'vitest'
import { checkIdentities, impureChunks, mkfsArgv, parseSuperblock } from '../../../src/stack/btrfs.ts'
import { freshness } from '../../../src/stack/compare.ts'
import { mountsInside } from '../../../src/stack/holders.ts'
import { headerDiffers, tableDiffers } from '../../../src/stack/luks.ts'
import { parseMountinfo } from '../../../src/stack/mount.ts'
import { parseScrub } from '../../../src/stack/scrub.ts'

/** What cryptsetup 2.6.1, btrfs-progs 6.2 and Linux 6.1 print, recorded, and every change of it that must be noticed. */

const superblock = `superblock: bytenr=65536, device=/dev/mapper/cv-photos-fsn
---------------------------------------------------------
csum_type\t\t3 (blake2b)
csum_size\t\t32
csum\t\t\t0x5d8a [match]
bytenr\t\t\t65536
magic\t\t\t_BHRfS_M [match]
fsid\t\t\t6f2b8c3e-1b1e-4c57-9a07-8a2f0a0f5b11
metadata_uuid\t\t6f2b8c3e-1b1e-4c57-9a07-8a2f0a0f5b11
label\t\t\tphotos
generation\t\t42
num_devices\t\t2
dev_item.uuid\t\t0a4c7d0e-5a92-4b0e-8d43-6c1f6f1d2a10
dev_item.fsid\t\t6f2b8c3e-1b1e-4c57-9a07-8a2f0a0f5b11 [match]
dev_item.devid\t\t1
dev_item.total_bytes\t10737418240
dev_item.bytes_used\t1073741824
`

describe('superblocks', () => {
  const identity = {
    fsid: '6f2b8c3e-1b1e-4c57-9a07-8a2f0a0f5b11',
    devid: 1,
    deviceUuid: '0a4c7d0e-5a92-4b0e-8d43-6c1f6f1d2a10',
  }

  test('who a member is and how new', () => {
    expect(parseSuperblock(superblock)).toEqual({
      ...identity,
      label: 'photos',
      generation: 42,
      devices: 2,
      allocatedBytes: 1073741824,
      totalBytes: 10737418240,
    })
  })

  test('garbage is no superblock', () => {
    for (const text of [
      '',
      'fsid x',
      superblock.replaceAll('[match]', "[DON'T MATCH]"),
      superblock.replace('42', 'x'),
    ])
      expect(parseSuperblock(text)).toBeNull()
  })

  test.each(['fsid', 'devid', 'deviceUuid'] as const)('another %s is another disk', (key) => {
    const found = parseSuperblock(superblock)
    const { fsid, ...own } = identity
    const expected = { fsid, members: { fsn: own, gra: own } }
    expect(() => checkIdentities({ fsn: found }, expected)).not.toThrow()
    const other = { ...identity, [key]: key === 'devid' ? 2 : 'other' }
    const changed = { fsid: other.fsid, members: { fsn: other } }
    expect(() => checkIdentities({ fsn: found }, changed)).toThrow(
      "fsn does not serve this vault's disk: it holds",
    )
    expect(() => checkIdentities({ fsn: null }, expected)).toThrow('no filesystem')
    expect(() => checkIdentities({ fsn: null, gra: null }, expected)).toThrow(
      "fsn and gra do not serve this vault's disks: it holds no filesystem",
    )
  })
})

describe('generations', () => {
  test('equal and not older than pinned is fresh', () => {
    expect(freshness({ a: 9, b: 9 }, 9)).toEqual({ is: 'fresh', generation: 9 })
    expect(freshness({ a: 12, b: 12 }, 9)).toEqual({ is: 'fresh', generation: 12 })
  })
  test('one behind is stale, all behind is a rollback', () => {
    expect(freshness({ a: 9, b: 7 }, 9)).toEqual({ is: 'stale', members: ['b'], generation: 9 })
    expect(freshness({ a: 8, b: 8 }, 9)).toEqual({ is: 'rollback', generation: 8, pinned: 9 })
    expect(freshness({ a: 8, b: 7 }, 9).is).toBe('rollback')
  })
})

describe('headers', () => {
  const area = { type: 'raw', offset: '32768', size: '258048', encryption: 'aes-xts-plain64', key_size: 64 }
  const header = {
    keyslots: {
      0: { type: 'luks2', key_size: 64, area, kdf: { type: 'pbkdf2', hash: 'sha256', iterations: 1000 } },
    },
    segments: {
      0: {
        type: 'crypt',
        offset: '0',
        size: 'dynamic',
        iv_tweak: '0',
        encryption: 'aes-xts-plain64',
        sector_size: 4096,
      },
    },
    config: { json_size: '12288', keyslots_size: '2097152' },
  }
  const changed = (path: string, value: unknown): unknown => {
    const copy = structuredClone(header) as Record<string, unknown>
    const words = path.split('.')
    let at: Record<string, unknown> = copy
    for (const word of words.slice(0, -1)) at = at[word] as Record<string, unknown>
    at[words.at(-1) ?? ''] = value
    return copy
  }

  test('what cloudvault makes is accepted', () => expect(headerDiffers(header)).toBeNull())

  test.each([
    ['segments.0.encryption', 'cipher_null-ecb'],
    ['segments.0.encryption', 'capi:xts(aes-generic)-plain64'],
    ['segments.0.sector_size', 512],
    ['segments.0.offset', '16777216'],
    ['segments.0.type', 'linear'],
    ['segments.0.flags', ['backup-final']],
    ['segments.0.integrity', { type: 'hmac' }],
    ['segments.1', header.segments[0]],
    ['segments', {}],
    ['keyslots', {}],
    ['keyslots.0.type', 'reencrypt'],
    ['keyslots.0.area.encryption', 'cipher_null-ecb'],
    ['keyslots.0.kdf', { type: 'argon2id', memory: 4194304, time: 4294967295 }],
    ['keyslots.0.kdf.iterations', 4294967295],
    ['config.requirements', { mandatory: ['online-reencrypt'] }],
  ])('%s = %j is refused', (path, value) => expect(headerDiffers(changed(path, value))).not.toBeNull())

  test.each([null, undefined, 1, 'x', []])('%j is refused', (value) =>
    expect(headerDiffers(value)).not.toBeNull(),
  )
})

describe('the kernel table of a mapping', () => {
  const table = '0 1048576 crypt aes-xts-plain64 :64:logon:cryptsetup:d9f6-d0 0 43:0 0 1 sector_size:4096\n'
  test('as made', () => expect(tableDiffers(table)).toBeNull())
  test.each([
    table.replace('aes-xts-plain64', 'cipher_null-ecb'),
    table.replace('43:0 0', '43:0 32768'),
    table.replace('d0 0 43', 'd0 8 43'),
    table.replace('crypt ', 'linear '),
    '',
  ])('%s is refused', (text) => expect(tableDiffers(text)).not.toBeNull())
})

describe('what is mounted', () => {
  const info = [
    '23 28 0:21 / /proc rw,relatime shared:13 - proc proc rw',
    '90 28 0:45 / /vault/my\\040photos rw,nosuid,nodev,noatime - btrfs /dev/mapper/cv-photos-fsn rw,compress=zstd:3,space_cache=v2,subvolid=5,subvol=/',
    '91 90 0:46 / /vault/my\\040photos/inner rw - tmpfs tmpfs rw',
    '92 28 0:47 / /vault/old ro,noatime shared:1 master:2 - btrfs /dev/mapper/cv-old-a ro,degraded',
  ].join('\n')

  test('the filesystem at a place, spaces and all', () => {
    expect(parseMountinfo(info, '/vault/my photos')).toEqual({
      type: 'btrfs',
      source: '/dev/mapper/cv-photos-fsn',
      readOnly: false,
      forced: false,
    })
    expect(parseMountinfo(info, '/vault/old')?.readOnly).toBe(true)
    expect(parseMountinfo(info, '/vault')).toBeNull()
    const gaveUp = '36 25 0:31 / /vault/x rw,noatime - btrfs /dev/dm-0 ro,compress=zstd:3'
    expect(parseMountinfo(gaveUp, '/vault/x')).toMatchObject({ readOnly: true, forced: true })
    const asked = '36 25 0:31 / /vault/x ro,noatime - btrfs /dev/dm-0 ro,compress=zstd:3'
    expect(parseMountinfo(asked, '/vault/x')).toMatchObject({ readOnly: true, forced: false })
  })
  test('what lies inside it', () =>
    expect(mountsInside(info, '/vault/my photos')).toEqual(['/vault/my photos/inner']))
})

describe('the chunk table', () => {
  const pure = {
    data: ['raid1'],
    metadata: ['raid1'],
    system: ['raid1'],
    diskBytes: 0,
    givenBytes: 0,
    usedBytes: 0,
    stored: {},
  }
  test('pure means redundant', () => expect(impureChunks(pure, 'raid1', 2)).toEqual([]))
  test('one single chunk is told', () =>
    expect(impureChunks({ ...pure, data: ['raid1', 'single'] }, 'raid1', 2)).toEqual(['data: single']))
  test('a vault of one member keeps metadata twice', () =>
    expect(
      impureChunks(
        {
          data: ['single'],
          metadata: ['dup'],
          system: ['dup'],
          diskBytes: 0,
          givenBytes: 0,
          usedBytes: 0,
          stored: {},
        },
        'single',
        1,
      ),
    ).toEqual([]))
})

test('mkfs is told both profiles, always: its own default for data is single', () => {
  expect(mkfsArgv('photos', 'raid1', 'blake2', ['a', 'b']).join(' ')).toBe(
    'mkfs.btrfs -q -K -L photos -d raid1 -m raid1 --csum blake2 a b',
  )
  expect(mkfsArgv('x', 'raid1c3', 'sha256', ['a', 'b', 'c'])).toContain('raid1c3')
})

test('a scrub in numbers', () => {
  const text = `UUID:             6f2b8c3e
Scrub started:    Sat Nov 21 23:00:00 2026
Status:           finished
Duration:         0:00:04
\tdata_extents_scrubbed: 2620
\tdata_bytes_scrubbed: 85983232
\ttree_bytes_scrubbed: 5668864
\tread_errors: 0
\tcsum_errors: 57
\tcorrected_errors: 57
\tuncorrectable_errors: 0
`
  expect(parseScrub(text)).toEqual({ status: 'finished', bytes: 91652096, corrected: 57, uncorrectable: 0 })
  expect(parseScrub('Status: aborted').status).toBe('aborted')
  expect(parseScrub('no stats available').status).toBe('none')
})
