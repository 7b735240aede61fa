import { expect, test } from 'vitest'
import type { Profile } from '../../../src/profile/profile.ts'
import { complaint, cures } from '../../../src/vault/complaint.ts'
import type { MemberReport } from '../../../src/vault/status.ts'

const none = { read: 0, write: 0, flush: 0, corruption: 0, generation: 0 }
const gra = (errors: Partial<NonNullable<MemberReport['errors']>>): MemberReport => ({
  name: 'gra',
  provider: 'ovh',
  link: { kind: 'ssh', state: 'up' },
  errors: { ...none, ...errors },
  mirror: 'stale',
})
const profile = (redundancy: string) =>
  ({ vault: 'photos', filesystem: { redundancy, assured: redundancy } }) as unknown as Profile

test('a provider is told by what it does wrong', () => {
  expect(complaint(gra({ write: 11, flush: 1 }))).toBe(
    'gra (ovh): writes refused 12 (a full or failing disk does that); its copy may be wrong in places',
  )
  expect(complaint(gra({ read: 3, corruption: 2, generation: 1 }))).toMatch(
    /^gra \(ovh\): reads failed 3, blocks wrong 3;/,
  )
})

test('what helps: room for a full provider, a resilver for a mirror, the list of files without one', () => {
  expect(cures(profile('raid1'), [gra({ write: 1 })]).join()).toMatch(
    /when the disk at ovh takes writes again/,
  )
  expect(cures(profile('raid1'), [gra({ corruption: 1 })])).toEqual(['cloudvault resilver photos'])
  expect(cures(profile('single'), [gra({ corruption: 1 })]).join()).toMatch(/^cloudvault scrub photos /)
})
