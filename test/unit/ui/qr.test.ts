import { stripVTControlCharacters } from 'node:util'
import { encode } from 'uqr'
import { expect, test } from 'vitest'
import { qrCode } from '../../../src/ui/qr.ts'

const key = '123456-123456-123456-123456-123456-123456-123456-123456'
const env = { LANG: 'C.UTF-8' }
const terminal = { isTTY: true, columns: 80 }

/** Half blocks back into black (true) and white, two rows for each line. */
const modules = (code: string): boolean[][] =>
  stripVTControlCharacters(code)
    .split('\n')
    .flatMap((line) => [
      [...line].map((sign) => sign === ' ' || sign === '▄'),
      [...line].map((sign) => sign === ' ' || sign === '▀'),
    ])

test('holds the key and nothing else, with white all around', async () => {
  const { data, size } = encode(key, { ecc: 'M', border: 2 })
  const shown = modules((await qrCode({ stdout: terminal, env }, key)) ?? '')
  expect(shown.slice(0, size)).toEqual(data)
  expect(shown[0]?.some(Boolean)).toBe(false)
  expect(size).toBeLessThanOrEqual(40)
})

test('white is said to be white; not with NO_COLOR', async () => {
  const lines = (await qrCode({ stdout: terminal, env }, key))?.split('\n') ?? []
  expect(lines.length).toBeGreaterThan(10)
  for (const line of lines) {
    expect(line.startsWith('\u001b[97;40m') && line.endsWith('\u001b[0m')).toBe(true)
    expect(stripVTControlCharacters(line)).toMatch(/^[ █▀▄]+$/)
  }
  expect(await qrCode({ stdout: terminal, env: { ...env, NO_COLOR: '1' } }, key)).not.toContain('\u001b')
})

test.each([
  ['a pipe or a log', { isTTY: false }, env],
  ['too narrow', { isTTY: true, columns: 30 }, env],
  ['no UTF-8', terminal, { LANG: 'C' }],
])('none at all: %s', async (_, stdout, environment) => {
  expect(await qrCode({ stdout, env: environment }, key)).toBeNull()
})
