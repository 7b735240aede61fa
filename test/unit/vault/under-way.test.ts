import { expect, test } from 'vitest'
import type { Profile } from '../../../src/profile/profile.ts'
import type { Job } from '../../../src/record/job.ts'
import type { RecordData } from '../../../src/record/record.ts'
import type { MemberReport } from '../../../src/vault/status.ts'
import { beingFilled, protection, underWay } from '../../../src/vault/under-way.ts'

/** What is said of a change that is not done: what it waits for, and what may still be lost. */

const job: Job = {
  ...{ kind: 'replace', phase: 'move', joins: 'waw', leaves: 'hel', from: 'raid1c3', to: 'raid1c3' },
  since: '2026-11-22T12:00:00Z',
}

const said = (parked: readonly string[], more: Partial<Job> = {}): string => {
  const members = ['fsn', 'hel', 'waw'].map(
    (name): MemberReport => ({
      ...{ name, provider: name, mirror: 'in sync' },
      link: { kind: 'ssh', state: 'up', ...(parked.includes(name) ? { note: 'parked' } : {}) },
    }),
  )
  return underWay({ job: { ...job, ...more } } as unknown as RecordData, members).join('; ')
}

test('it waits for whom it needs, the target of a copy too, and not for the one that goes', () => {
  expect(said([])).toBe('replacing hel by waw: under way')
  expect(said(['hel'])).toBe('replacing hel by waw: under way')
  expect(said(['waw', 'hel'])).toBe('replacing hel by waw: waits until waw answers')
  expect(said(['waw'], { trouble: 'there is no room' })).toBe(
    'replacing hel by waw: cannot go on: there is no room',
  )
})

test('a target that does not answer is told to be one that is no member', () => {
  expect(beingFilled('ssh', 3, false).link).toEqual({ kind: 'ssh', state: 'unknown' })
  expect(beingFilled('ssh', 3, true)).toMatchObject({
    link: { state: 'down', note: 'parked' },
    note: expect.stringContaining('filled anew'),
  })
})

test('who does not answer now cannot be lost once more', () => {
  const profile = { filesystem: { assured: 'raid1c3' } } as Profile
  expect(protection(profile, job)).toBe('until it is done 2 of the members may be lost; then 2 may be lost')
  expect(protection(profile, job, 1)).toContain('1 more of the members may be lost')
  expect(protection(profile, job, 2)).toContain('one copy of everything is sure')
})
