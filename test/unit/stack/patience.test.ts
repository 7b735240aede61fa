import { expect, test } from 'vitest'
import type { Member, Profile } from '../../../src/profile/profile.ts'
import { deadConnTimeout, isLastCopy, longestWait, patienceFor } from '../../../src/stack/patience.ts'

const member = { name: 'gra', patienceMs: 12_000 } as Member
const stale = (...members: string[]) => ({ resilver: { members, since: '2026-11-22T06:00:00Z' } })

test('of two copies the second one is the last, when the first is not whole', () => {
  expect(isLastCopy({}, 'raid1', 'gra')).toBe(false)
  expect(isLastCopy(stale('fsn'), 'raid1', 'gra')).toBe(true)
  expect(isLastCopy(stale('gra'), 'raid1', 'gra')).toBe(false)
  expect(isLastCopy(stale('gra', 'fsn'), 'raid1', 'gra')).toBe(true)
})

test('of three copies the third one', () => {
  expect(isLastCopy(stale('fsn'), 'raid1c3', 'gra')).toBe(false)
  expect(isLastCopy(stale('fsn', 'hel'), 'raid1c3', 'gra')).toBe(true)
})

test('a vault without mirrors has its own patience, and nothing is added to it', () => {
  expect(isLastCopy({}, 'single', 'gra')).toBe(false)
  expect(longestWait({ members: [member], filesystem: { assured: 'single' } } as unknown as Profile)).toBe(12)
})

test('the last copy is waited for longer, and no wait is as long as the kernel waits', () => {
  expect(patienceFor(member, false)).toBe(12_000)
  expect(patienceFor(member, true)).toBe(57_000)
  expect(longestWait({ members: [member], filesystem: { assured: 'raid1' } } as unknown as Profile)).toBe(57)
  expect(deadConnTimeout(member) * 1000).toBeGreaterThan(patienceFor(member, true) + 10_000)
})
