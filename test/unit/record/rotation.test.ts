import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { reversed } from '../../../src/cli/cancel.ts'
import { parseProfile } from '../../../src/profile/load.ts'
import { asRecorded, isJob, type Job, unknownMembers, unnamedMembers } from '../../../src/record/job.ts'
import type { RecordData } from '../../../src/record/record.ts'
import { isRotation, nextFile, nextName, turned, twinOf } from '../../../src/record/rotation.ts'
import { isRecord } from '../../../src/record/shape.ts'
import { emptyRecord } from '../../../src/stack/format.ts'

/** A member is replaced by a twin that the profile does not name yet. */

const two = parseProfile(readFileSync('profiles/two-servers.yaml', 'utf8'), 'two-servers.yaml').profile
const known = { devid: 1, deviceUuid: 'd', luksUuid: 'l', sizeBytes: 1 << 30, generation: 7 }
const twin = { of: 'fsn', file: '/srv/cloudvault/photos-fsn2.img' }
const job: Job = {
  ...{ kind: 'replace', phase: 'move', joins: 'fsn2', leaves: 'fsn', from: 'raid1', to: 'raid1', twin },
  since: '2026-11-22T06:00:00Z',
}
const record = (members: readonly string[], more: Partial<RecordData>): RecordData => ({
  ...emptyRecord('photos'),
  phase: 'created',
  members: Object.fromEntries(members.map((name) => [name, known])),
  rotation: { left: ['fsn', 'gra'], done: [], since: '2026-11-22T06:00:00Z' },
  ...more,
})
const names = (data: RecordData, whom: 'taking part' | 'touched' = 'taking part') =>
  asRecorded(two, data, whom).members.map(({ name }) => name)

describe('a twin', () => {
  it('takes part while data moves, and is the member afterwards', () => {
    expect(names(record(['fsn', 'gra'], { job: { ...job, phase: 'prepare' } }))).toEqual(['fsn', 'gra'])
    expect(names(record(['fsn', 'gra'], { job: { ...job, phase: 'prepare' } }), 'touched')).toEqual([
      'fsn',
      'fsn2',
      'gra',
    ])
    expect(names(record(['fsn', 'gra'], { job }))).toEqual(['fsn', 'fsn2', 'gra'])
    const done = record(['fsn2', 'gra'], { job: { ...job, phase: 'retire' } })
    expect(names(done)).toEqual(['fsn2', 'gra'])
    expect(names(done, 'touched')).toEqual(['fsn', 'fsn2', 'gra'])
    expect([unknownMembers(two, done), unnamedMembers(two, done)]).toEqual([[], []])
  })

  it('is the same server with another disk', () => {
    const [fsn, fsn2] = asRecorded(two, record(['fsn', 'gra'], { job }), 'taking part').members
    expect(fsn2).toEqual({ ...fsn, name: 'fsn2', disk: { ...fsn?.disk, path: twin.file } })
  })

  it('is still known when it goes again after a cancel', () => {
    const taken = reversed(job)
    if (taken === null) throw new Error('not to be taken back')
    expect(taken).toMatchObject({ kind: 'remove', phase: 'retire', leaves: 'fsn2' })
    const back = record(['fsn', 'gra'], { job: taken })
    expect(names(back, 'touched')).toEqual(['fsn', 'fsn2', 'gra'])
    expect(names(back)).toEqual(['fsn', 'gra'])
  })

  it('gets a name, a file and a port that nobody has', () => {
    expect(nextName('fsn', ['fsn', 'gra'])).toBe('fsn2')
    expect(nextName('fsn2', ['fsn2', 'fsn3'])).toBe('fsn4')
    expect(nextName('abcdefghijklmnop', [])).toBe('abcdefghijklmno2')
    expect(nextName('abcdefghijklmn99', [])).toBe('abcdefghijklm100')
    expect(nextFile('/srv/cloudvault/photos.img', 'fsn', 'fsn2')).toBe('/srv/cloudvault/photos-fsn2.img')
    expect(nextFile('/srv/cloudvault/photos-fsn2.img', 'fsn2', 'fsn3')).toBe(
      '/srv/cloudvault/photos-fsn3.img',
    )
    expect(nextFile('/srv/a.b/disk', 'fsn', 'fsn2')).toBe('/srv/a.b/disk-fsn2')
    const [fsn] = two.members
    if (!fsn) throw new Error('no member')
    const tls = { ...fsn, link: { kind: 'tls', auth: 'psk', port: 10809, clients: [] } as const }
    expect(twinOf({ members: [tls] }, tls)?.twin.port).toBe(10810)
    expect(twinOf(two, fsn)).toEqual({ name: 'fsn2', twin })
    expect(twinOf(two, { ...fsn, disk: { kind: 'device', path: '/dev/sdb' } })).toBeNull()
  })
})

describe('the record of a rotation', () => {
  it('knows who is left', () => {
    const first = turned(record([], {}), 'fsn', 'fsn2')
    expect(first.rotation).toMatchObject({ left: ['gra'], done: ['fsn2'] })
    expect(turned(first, 'fsn', 'fsn3')).toBe(first)
    expect(turned(first, 'gra', undefined)).toBe(first)
  })

  it('is checked to its last field', () => {
    expect(isRecord(JSON.parse(JSON.stringify(record(['fsn'], { job, fsid: 'f', provedAt: 'now' }))))).toBe(
      true,
    )
    expect(isJob({ ...job, twin: { of: 'fsn' } })).toBe(false)
    expect(isRotation({ left: ['fsn'], done: [7], since: 'now' })).toBe(false)
  })
})
