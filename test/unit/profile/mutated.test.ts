import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { ProfileFaults } from '../../../src/profile/faults.ts'
import { parseProfile } from '../../../src/profile/load.ts'

/**
 * Sound profiles with random damage: whatever comes out, it is a profile or a list of faults with places inside the
 * file, never another error. The seed is fixed; a failure prints the text that caused it.
 */

/** A small generator with a period long enough (mulberry32). */
const random = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state += 0x6d2b79f5
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const scraps = [
  '',
  ' ',
  '\n',
  '\t',
  ':',
  ': ',
  '- ',
  '? ',
  '[',
  ']',
  '{',
  '}',
  ',',
  '"',
  "'",
  '#',
  '&a',
  '*a',
  '!',
  '!!x ',
  '|',
  '>',
  '%',
  '@',
  '`',
  '~',
  'null',
  'true',
  '0',
  '-1',
  '1e9',
  '0x1',
  '.inf',
  '.nan',
  '__proto__',
  '<<',
  'constructor',
  '\0',
  '\uFEFF',
  '\u202E',
  '\r',
  '---\n',
  '...\n',
  '\\',
  '$(id)',
  '/',
  '..',
  'é',
  '\u{1F512}',
  'toString',
  'length',
]

it('damaged profiles are profiles or faults', () => {
  const next = random(20_261_121)
  const below = (n: number): number => Math.floor(next() * n)
  const texts = ['two-servers', 'plain-link', 'three-way'].map((name) =>
    readFileSync(`profiles/${name}.yaml`, 'utf8'),
  )
  let [sound, faulty] = [0, 0]
  for (let round = 0; round < 1000; round++) {
    let text = texts[below(texts.length)] ?? ''
    for (let wounds = 1 + below(4); wounds > 0; wounds--) {
      const [at, length] = [below(text.length), below(3) === 0 ? below(60) : below(3)]
      text = text.slice(0, at) + (scraps[below(scraps.length)] ?? '') + text.slice(at + length)
    }
    try {
      parseProfile(text, 'mutated.yaml')
      sound++
    } catch (error) {
      if (!(error instanceof ProfileFaults))
        throw new Error(`not a fault: ${String(error)}\n${text}`, { cause: error })
      expect(error.faults.length).toBeGreaterThan(0)
      const lines = text.split('\n').length
      for (const { line, column, message } of error.faults) {
        expect(line).toBeLessThanOrEqual(lines)
        expect(line === 0 ? column : Math.min(column, 1)).toBe(line === 0 ? 0 : 1)
        expect(message).not.toBe('')
      }
      faulty++
    }
  }
  // Both happen, or the damage is too harmless or too heavy to prove anything.
  expect(sound).toBeGreaterThan(50)
  expect(faulty).toBeGreaterThan(500)
}, 120_000)
