import { describe, expect, it } from 'vitest'
import { age, bar, bytes, bytesOf, count, duration } from '../../../src/ui/text.ts'

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour
const GiB = 2 ** 30

describe('durations', () => {
  it.each([
    [0, '0 ms'],
    [-5, '0 ms'],
    [999.4, '999 ms'],
    [second, '1 s'],
    [59.9 * second, '59 s'],
    [minute, '1 min'],
    [41 * minute + 30 * second, '41 min'],
    [hour, '1 h'],
    [4 * hour + 12 * minute, '4 h 12 min'],
    [day, '1 d'],
    [3 * day + 4 * hour + 59 * minute, '3 d 4 h'],
    [400 * day, '400 d'],
  ])('%d ms → %s', (ms, text) => {
    expect(duration(ms)).toBe(text)
  })

  it.each([
    [0, '0 s'],
    [90 * second, '1 min'],
    [2 * day + 23 * hour, '2 d'],
  ])('age of %d ms → %s', (ms, text) => {
    expect(age(ms)).toBe(text)
  })
})

describe('sizes', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [100 * GiB, '100 GiB'],
    [1.5 * GiB, '1.5 GiB'],
  ])('%d → %s', (number, text) => {
    expect(bytes(number)).toBe(text)
  })

  it('says a shared unit once', () => {
    expect(bytesOf(61 * GiB, 100 * GiB)).toBe('61 of 100 GiB')
    expect(bytesOf(GiB / 2, 100 * GiB)).toBe('512 MiB of 100 GiB')
  })
})

describe('bars and counts', () => {
  it.each([
    [0, '░░░░░░░░░░'],
    [0.61, '██████░░░░'],
    [1, '██████████'],
    [1.7, '██████████'],
    [-1, '░░░░░░░░░░'],
  ])('%d → %s', (share, text) => {
    expect(bar(share, true)).toBe(text)
  })

  it('has an ASCII face', () => {
    expect(bar(0.5, false, 4)).toBe('##..')
  })

  it('counts', () => {
    expect([count(1, 'provider'), count(0, 'provider'), count(3, 'provider')]).toEqual([
      '1 provider',
      '0 providers',
      '3 providers',
    ])
  })
})
