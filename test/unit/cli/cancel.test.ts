import { expect, test } from 'vitest'
import { reversed } from '../../../src/cli/cancel.ts'
import type { Job } from '../../../src/record/job.ts'
import { isJob } from '../../../src/record/job.ts'

/** What is done when a change is given up: the way back is a change of its own. */

const job = (more: Partial<Job>): Job => ({
  ...{ kind: 'add', phase: 'move', from: 'raid1', to: 'raid1c3', since: '2026-11-22T10:00:00Z' },
  ...more,
})

test('a newcomer that was taken in leaves again, as slowly as it came', () => {
  const back = reversed(job({ joins: 'hel', limit: 5_000_000 }))
  expect(back).toMatchObject({ kind: 'remove', phase: 'move', leaves: 'hel', from: 'raid1', to: 'raid1' })
  expect(back?.limit).toBe(5_000_000)
  expect(isJob(back)).toBe(true)
})

test('one that was not taken in, and the target of a copy, have nothing to move', () => {
  expect(reversed(job({ phase: 'prepare', joins: 'hel' }))).toMatchObject({ phase: 'retire', leaves: 'hel' })
  const replace = job({ kind: 'replace', joins: 'waw', leaves: 'gra', to: 'raid1' })
  expect(reversed(replace)).toMatchObject({ kind: 'remove', phase: 'retire', leaves: 'waw' })
})

test('whoever was about to leave stays, with all of its device', () => {
  const back = reversed(job({ kind: 'remove', leaves: 'gra', from: 'raid1c3', to: 'raid1' }))
  expect(back).toMatchObject({ kind: 'convert', phase: 'move', regrows: 'gra', from: 'raid1', to: 'raid1c3' })
  expect(back).not.toHaveProperty('leaves')
  expect(isJob(back)).toBe(true)
})

test('when only what the old one has there is left, there is nothing to take back', () => {
  expect(reversed(job({ phase: 'retire', kind: 'remove', leaves: 'gra' }))).toBeNull()
})
