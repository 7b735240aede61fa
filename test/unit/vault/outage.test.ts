import { expect, test } from 'vitest'
import type { RecordData } from '../../../src/record/record.ts'
import { withoutStale, withStale } from '../../../src/record/record.ts'
import { lostAgain, noPast } from '../../../src/vault/outage.ts'

test('an outage begins when the link dies', () => {
  expect(lostAgain(noPast(), 5000)).toMatchObject({ began: 5000, relapses: 0 })
})

test('lost again soon after it was back, it is the same outage: the time it was away adds up', () => {
  const first = { ...lostAgain(noPast(), 5000), back: 7000 }
  const second = { ...lostAgain(first, 10_000), back: 11_000 }
  expect(second).toMatchObject({ began: 8000, relapses: 1 })
  expect(lostAgain(second, 33_000)).toMatchObject({ began: 30_000, relapses: 2 })
})

test('lost again after it had served for a while, it is a new one', () => {
  expect(lostAgain({ began: 5000, back: 7000, relapses: 3 }, 40_000)).toMatchObject({
    began: 40_000,
    relapses: 0,
  })
})

test('a note about a copy that missed nothing after all is taken back, and no other', () => {
  const record = { vault: 'photos' } as RecordData
  const noted = withStale(withStale(record, ['gra']), ['fsn'])
  expect(withoutStale(noted, 'fsn').resilver?.members).toEqual(['gra'])
  expect(withoutStale(withStale(record, ['gra']), 'gra')).toEqual(record)
})
