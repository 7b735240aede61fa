import { expect, test } from 'vitest'
import { reversed } from '../../../src/cli/cancel.ts'
import type { Job } from '../../../src/record/job.ts'
import type { MemberRecord, RecordData } from '../../../src/record/record.ts'
import { hasLeft, tookPlace } from '../../../src/vault/moved.ts'

/** What is noted when the kernel is through, also when the change was given up in that very moment. */

const known = (devid: number): MemberRecord => ({
  ...{ devid, deviceUuid: `device-${devid}`, luksUuid: `luks-${devid}`, sizeBytes: 2 ** 30, generation: 7 },
})

const record = (job: Job): RecordData => ({
  ...{ schema: 'cloudvault.record/1', vault: 'photos', phase: 'created', fsid: 'f', generation: 7 },
  ...{ createdAt: '2026-11-22T10:00:00Z', provedAt: '2026-11-22T10:00:00Z' },
  members: { fsn: known(1), gra: known(2), hel: known(3) },
  resilver: { members: ['hel'], since: '2026-11-22T11:00:00Z', phase: 'mend' },
  job,
})

const leaving: Job = {
  ...{ kind: 'remove', phase: 'move', leaves: 'hel', from: 'raid1c3', to: 'raid1', limit: 5 },
  since: '2026-11-22T12:00:00Z',
}

const replacing: Job = { ...leaving, kind: 'replace', joins: 'waw', to: 'raid1c3' }

test('who has left is no member any more, and misses nothing', () => {
  const now = hasLeft(record(leaving), leaving, 'hel')
  expect(Object.keys(now.members)).toEqual(['fsn', 'gra'])
  expect(now.resilver).toBeUndefined()
  expect(now.job).toEqual({ ...leaving, phase: 'retire' })
})

test('a limit that was changed meanwhile is kept', () => {
  const now = hasLeft(record({ ...leaving, limit: 9 }), leaving, 'hel')
  expect(now.job?.limit).toBe(9)
})

test.each([
  ['a removal', leaving],
  ['a replacement', replacing],
])('%s that was given up when it was done already is done', (_, job) => {
  const given = record(reversed(job) ?? job)
  expect(given.job?.since).not.toBe(job.since)
  const now = job.kind === 'remove' ? hasLeft(given, job, 'hel') : tookPlace(given, job, known(3))
  expect(now.job).toEqual({ ...job, phase: 'retire' })
  expect(Object.keys(now.members)).not.toContain('hel')
})

test('who took a place is not trusted before it was read', () => {
  const now = tookPlace(record(replacing), replacing, known(3))
  expect(now.members).toMatchObject({ fsn: known(1), gra: known(2), waw: known(3) })
  expect(now.resilver?.members).toEqual(['waw'])
  expect(now.resilver?.phase).toBeUndefined()
})
