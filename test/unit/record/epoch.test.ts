import { describe, expect, test } from 'vitest'
import {
  type Epoch,
  epochLabel,
  type Held,
  type KnownEpoch,
  learned,
  lineage,
  parseLabel,
} from '../../../src/record/epoch.ts'

/** The rule that tells one half that is behind from two halves that were written apart, row by row. */

const one: KnownEpoch = { n: 1, from: 40, id: 'aaaaaaaa', members: ['fsn'], written: true }
const two: KnownEpoch = { n: 2, from: 60, id: 'bbbbbbbb', members: ['gra'], written: true }
const foreign: Epoch = { n: 1, from: 40, id: 'ffffffff' }
const intended = ({ written: _, ...epoch }: KnownEpoch): KnownEpoch => epoch
const at = (generation: number, epoch: Epoch | null = null): Held => ({
  generation,
  epoch: epoch && { n: epoch.n, from: epoch.from, id: epoch.id },
})

interface Row {
  readonly what: string
  readonly found: Readonly<Record<string, Held>>
  readonly history: readonly KnownEpoch[]
  readonly is: 'one line' | 'split'
  readonly lost?: number
  readonly elsewhere?: number
  readonly never?: number
  readonly known?: boolean
}

const rows: readonly Row[] = [
  { what: 'never degraded', found: { fsn: at(41), gra: at(41) }, history: [], is: 'one line' },
  { what: 'never degraded, one behind', found: { fsn: at(41), gra: at(7) }, history: [], is: 'one line' },
  {
    what: 'a returner from before the epoch',
    found: { fsn: at(50, one), gra: at(40) },
    history: [one],
    is: 'one line',
  },
  {
    what: 'a returner that was far behind',
    found: { fsn: at(50, one), gra: at(3) },
    history: [one],
    is: 'one line',
  },
  {
    what: 'both in the same epoch, mended',
    found: { fsn: at(70, one), gra: at(70, one) },
    history: [one],
    is: 'one line',
  },
  {
    what: 'an old epoch went on past the fork',
    found: { fsn: at(50, one), gra: at(41) },
    history: [one],
    is: 'split',
  },
  {
    what: 'even with a higher generation',
    found: { fsn: at(50, one), gra: at(99) },
    history: [one],
    is: 'split',
  },
  {
    what: 'the same number, begun twice',
    found: { fsn: at(50, one), gra: at(50, foreign) },
    history: [one],
    is: 'split',
  },
  {
    what: '… whichever of them is known',
    found: { fsn: at(50, foreign), gra: at(50, one) },
    history: [one],
    is: 'split',
  },
  { what: '… or neither', found: { fsn: at(9, one), gra: at(9, foreign) }, history: [], is: 'split' },
  {
    what: 'the same number and id, another fork',
    found: { fsn: at(50, one), gra: at(50, { ...one, from: 41 }) },
    history: [one],
    is: 'split',
  },
  {
    what: 'a first epoch that this record does not know (it was restored), and one from before it',
    found: { fsn: at(50, foreign), gra: at(40) },
    history: [],
    is: 'one line',
    known: false,
  },
  {
    what: '… and one that went on',
    found: { fsn: at(50, foreign), gra: at(41) },
    history: [],
    is: 'split',
  },
  {
    what: 'a second epoch that this record does not know: after which first one?',
    found: { fsn: at(70, two), gra: at(40) },
    history: [],
    is: 'split',
  },
  {
    what: '… not even when the first is known',
    found: { fsn: at(70, two), gra: at(50, one) },
    history: [one],
    is: 'split',
  },
  {
    what: 'two epochs on, seen from the first',
    found: { fsn: at(60, one), gra: at(70, two) },
    history: [one, two],
    is: 'one line',
  },
  {
    what: 'two epochs on, the first went on',
    found: { fsn: at(61, one), gra: at(70, two) },
    history: [one, two],
    is: 'split',
  },
  {
    what: 'two epochs on, seen from epoch 0',
    found: { fsn: at(40), gra: at(70, two) },
    history: [one, two],
    is: 'one line',
  },
  {
    what: 'two epochs on, past the first fork',
    found: { fsn: at(55), gra: at(70, two) },
    history: [one, two],
    is: 'split',
  },
  { what: 'a gap in what is known', found: { fsn: at(30), gra: at(70, two) }, history: [two], is: 'split' },
  {
    what: 'an unknown epoch in the past',
    found: { fsn: at(50, foreign), gra: at(70, two) },
    history: [one, two],
    is: 'split',
  },
  {
    what: 'all in an epoch this record does not know (it was restored)',
    found: { fsn: at(50, foreign), gra: at(50, foreign) },
    history: [],
    is: 'one line',
    known: false,
  },
  {
    what: 'all older than a written epoch',
    found: { fsn: at(40), gra: at(40) },
    history: [one],
    is: 'one line',
    lost: 1,
  },
  {
    what: 'intended, never written: a crash before the label',
    found: { fsn: at(40), gra: at(40) },
    history: [intended(one)],
    is: 'one line',
    never: 1,
  },
  {
    what: '… having replayed a log',
    found: { fsn: at(42), gra: at(40) },
    history: [intended(one)],
    is: 'one line',
    never: 1,
  },
  {
    what: '… while the other wrote too, and crashed too',
    found: { fsn: at(42), gra: at(42) },
    history: [intended(one)],
    is: 'split',
  },
  { what: 'alone, whole', found: { fsn: at(41) }, history: [], is: 'one line' },
  { what: 'alone, in the newest epoch', found: { fsn: at(50, one) }, history: [one], is: 'one line' },
  { what: 'alone, the other went on', found: { gra: at(40) }, history: [one], is: 'one line', elsewhere: 1 },
  {
    what: 'alone, the other was about to go on',
    found: { gra: at(40) },
    history: [intended(one)],
    is: 'one line',
    elsewhere: 1,
  },
  {
    what: 'alone, rolled back to before its own epoch',
    found: { fsn: at(40) },
    history: [one],
    is: 'one line',
    lost: 1,
  },
  {
    what: 'alone, in an epoch begun elsewhere',
    found: { fsn: at(50, foreign) },
    history: [],
    is: 'one line',
    known: false,
  },
]

describe('halves of a vault', () => {
  test.each(rows)('$what: $is', ({ found, history, is, lost, elsewhere, never, known }) => {
    const line = lineage(found, history)
    expect(line.is).toBe(is)
    if (line.is === 'split') return
    expect([line.lost.length, line.elsewhere.length, line.never.length, line.known]).toEqual([
      lost ?? 0,
      elsewhere ?? 0,
      never ?? 0,
      known ?? true,
    ])
  })

  test('the order of the members changes nothing', () => {
    for (const { found, history, is } of rows)
      expect(lineage(Object.fromEntries(Object.entries(found).reverse()), history).is).toBe(is)
  })

  test('three members: who is left out twice is behind once', () => {
    const second: KnownEpoch = { n: 2, from: 60, id: 'cccccccc', members: ['fsn'], written: true }
    const first: KnownEpoch = { ...one, members: ['fsn', 'gra'] }
    const found = { fsn: at(70, second), gra: at(60, first), ams: at(40) }
    expect(lineage(found, [first, second]).is).toBe('one line')
    expect(lineage({ ...found, ams: at(41) }, [first, second]).is).toBe('split')
  })
})

describe('labels', () => {
  test('what is written is what is read', () => {
    expect(epochLabel('photos', one)).toBe('photos#1.40.aaaaaaaa')
    expect(parseLabel('photos', epochLabel('photos', one))).toEqual({ n: 1, from: 40, id: 'aaaaaaaa' })
  })

  test.each([
    'photos',
    '',
    'my holidays',
    'photos#',
    'photos#1',
    'photos#1.40',
    'photos#1.40.aaaaaaa',
    'photos#1.40.aaaaaaaaa',
    'photos#1.40.AAAAAAAA',
    'photos#0.40.aaaaaaaa',
    'photos#01.40.aaaaaaaa',
    'photos#1.040.aaaaaaaa',
    'photos#-1.40.aaaaaaaa',
    'photos#1e3.40.aaaaaaaa',
    'photos#1.40.aaaaaaaa ',
    ' photos#1.40.aaaaaaaa',
    'photos#1.40.aaaaaaaa\ngeneration\t\t99',
    'photos#1.40.aaaaaaaa#2.50.bbbbbbbb',
    'photos#9999999999.40.aaaaaaaa',
    'photos#1.9999999999999999.aaaaaaaa',
    'photosx#1.40.aaaaaaaa',
    'photo#1.40.aaaaaaaa',
    '__proto__#1.40.aaaaaaaa',
  ])('%j is none of ours: epoch 0', (label) => {
    expect(parseLabel('photos', label)).toBeNull()
  })
})

describe('what is learned from a look', () => {
  test('an intended epoch that is seen is written', () => {
    expect(learned([intended(one)], one, [], ['fsn'])).toEqual([one])
  })

  test('one that never came to be is forgotten', () => {
    const never = intended(two)
    expect(learned([one, never], one, [never], ['fsn'])).toEqual([one])
  })

  test('an unknown one that all show is taken in', () => {
    expect(learned([], foreign, [], ['fsn', 'gra'])).toEqual([
      { ...foreign, members: ['fsn', 'gra'], written: true },
    ])
  })
})
