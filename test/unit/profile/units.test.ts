import { describe, expect, it } from 'vitest'
import {
  formatDuration,
  formatSize,
  parseDiskSize,
  parseDuration,
  parseSize,
} from '../../../src/profile/units.ts'

describe('sizes', () => {
  it.each([
    ['4096B', 4096],
    ['1KiB', 1024],
    ['1K', 1024],
    ['1.5GiB', 1_610_612_736],
    ['100G', 107_374_182_400],
    ['16T', 17_592_186_044_416],
  ])('%s is %i bytes', (text, bytes) => {
    expect(parseSize(text)).toEqual({ value: bytes })
  })

  it.each([
    '',
    'G',
    '100',
    '100 GiB',
    '100gib',
    '100GB',
    '1e3',
    '1,5G',
    '0x10G',
    '+1G',
    '-1G',
    '.5G',
    '1.G',
    '0.3B',
  ])('%j is refused', (text) => {
    expect(parseSize(text)).toHaveProperty('fault')
  })

  it('of a disk are whole blocks within the bounds', () => {
    expect(parseDiskSize('256MiB')).toEqual({ value: 268_435_456 })
    expect(parseDiskSize('16TiB')).toEqual({ value: 17_592_186_044_416 })
    expect(parseDiskSize('268435457B')).toHaveProperty('fault')
  })

  it('read back what formatSize writes', () => {
    for (const bytes of [4096, 5000, 1024 ** 2, 3 * 1024 ** 3, 1.5 * 1024 ** 4])
      expect(parseSize(formatSize(bytes))).toEqual({ value: bytes })
    expect(formatSize(107_374_182_400)).toBe('100GiB')
  })
})

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5m', 90_000],
    ['24h', 86_400_000],
  ])('%s is %i ms', (text, ms) => {
    expect(parseDuration(text)).toEqual({ value: ms })
  })

  it.each(['', '30', '0s', '-1s', '+1s', '25h', '1d', '5 minutes', '30 s', '1:30', '30S', '0.1ms'])(
    '%j is refused',
    (text) => {
      expect(parseDuration(text)).toHaveProperty('fault')
    },
  )

  it('read back what formatDuration writes', () => {
    for (const ms of [1, 999, 30_000, 90_000, 300_000, 86_400_000])
      expect(parseDuration(formatDuration(ms))).toEqual({ value: ms })
  })
})
