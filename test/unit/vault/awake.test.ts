import { expect, test } from 'vitest'
import { onWake } from '../../../src/vault/awake.ts'
import { figuresLine } from '../../../src/vault/figures.ts'

/** A machine that slept is told from one that was only busy. */

const wakes = async (readings: readonly number[]): Promise<number[]> => {
  const stop = new AbortController()
  const missed: number[] = []
  const left = [...readings]
  const clock = (): number => {
    const now = left.shift() ?? 0
    if (left.length === 0) stop.abort()
    return now
  }
  await onWake(stop.signal, (ms) => missed.push(ms), clock, 1)
  return missed
}

test('a clock that went on for ten minutes between two looks is a sleep', async () => {
  expect(await wakes([1000, 1001, 601_002, 601_003])).toEqual([600_000])
})

test('some seconds of a busy machine are none', async () => {
  expect(await wakes([1000, 1001, 16_000, 17_000])).toEqual([])
})

test('the figures are said in words', () => {
  expect(figuresLine(57_400_000, 0.0034, 60.2)).toBe(
    'this monitor: 57 MB of memory, 0.34 % of a core in the last 60 s',
  )
})
