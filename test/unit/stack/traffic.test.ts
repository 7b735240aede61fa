import { expect, test } from 'vitest'
import { parseStat, ratesOf } from '../../../src/stack/traffic.ts'

const first =
  '    1000        0    80000      500      200        0     1600      400        0      700      900        0        0        0        0       10       20\n'
const second =
  '    1100        0    88000     1800      210        0     1680      900        3      900     1200        0        0        0        0       10       20\n'
const at = (text: string, seconds: number) => {
  const traffic = parseStat(text, seconds * 1000)
  if (traffic === null) throw new Error('no traffic')
  return traffic
}

test('bytes a second, the average time of an answer, and what waits', () => {
  expect(ratesOf(at(first, 10), at(second, 12))).toEqual({
    readBytesPerS: (8000 * 512) / 2,
    writeBytesPerS: (80 * 512) / 2,
    inFlight: 3,
    readMs: 13,
    writeMs: 50,
  })
})

test('where nothing was asked there is no time; a device that was attached anew has no rate', () => {
  expect(ratesOf(at(first, 10), at(first, 12))).toEqual({ readBytesPerS: 0, writeBytesPerS: 0, inFlight: 0 })
  expect(ratesOf(at(second, 10), at(first, 12))).toBeNull()
  expect(ratesOf(at(first, 10), at(first, 10))).toBeNull()
})

test.each(['', '1 2 3', 'a b c d e f g h i'])('%j is no counter', (text) => {
  expect(parseStat(text, 0)).toBeNull()
})
