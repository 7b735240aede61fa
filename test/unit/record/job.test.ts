import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseProfile } from '../../../src/profile/load.ts'
import {
  asRecorded,
  isJob,
  type Job,
  joined,
  membersAfter,
  unknownMembers,
  unnamedMembers,
} from '../../../src/record/job.ts'
import type { MemberRecord, RecordData } from '../../../src/record/record.ts'
import { emptyRecord } from '../../../src/stack/format.ts'

/** Who takes part and what can be counted on, while members come and go. */

const three = parseProfile(readFileSync('profiles/three-way.yaml', 'utf8'), 'three-way.yaml').profile
const [first = '', second = '', third = ''] = three.members.map(({ name }) => name)
const known = (devid: number): MemberRecord => ({
  devid,
  deviceUuid: `uuid-${devid}`,
  luksUuid: `luks-${devid}`,
  sizeBytes: 1 << 30,
  generation: 7,
})
const record = (members: readonly string[], job?: Partial<Job>): RecordData => ({
  ...emptyRecord('archive'),
  phase: 'created',
  members: Object.fromEntries(members.map((name, index) => [name, known(index + 1)])),
  ...(job
    ? {
        job: {
          kind: 'add',
          phase: 'move',
          from: 'raid1',
          to: 'raid1c3',
          since: '2026-11-22T06:00:00Z',
          ...job,
        },
      }
    : {}),
})
const taking = (data: RecordData | null, whom: 'taking part' | 'touched' = 'taking part') =>
  asRecorded(three, data, whom)
const names = (data: RecordData | null, whom?: 'taking part' | 'touched') =>
  taking(data, whom).members.map(({ name }) => name)

describe('who takes part', () => {
  it('is everybody, before there is a record or a change', () => {
    expect(names(null)).toEqual([first, second, third])
    expect(names({ ...record([]), phase: 'creating' })).toEqual([first, second, third])
    expect(names(record([first, second, third]))).toEqual([first, second, third])
  })
  it('is not who is about to come, whose device may stand all the same', () => {
    const adding = record([first, second], { joins: third, phase: 'prepare' })
    expect(names(adding)).toEqual([first, second])
    expect(names(adding, 'touched')).toEqual([first, second, third])
    expect(unknownMembers(three, adding)).toEqual([])
    expect(unknownMembers(three, record([first, second]))).toEqual([third])
  })
  it('is a newcomer that the kernel may have taken in before it was noted', () => {
    const adding = record([first, second], { joins: third, phase: 'prepare', joining: true })
    expect(names(adding)).toEqual([first, second, third])
    const done = joined(adding, third, known(3))
    expect(done.job).toMatchObject({ phase: 'move' })
    expect(done.job).not.toHaveProperty('joining')
    expect(done.members[third]?.devid).toBe(3)
  })
  it('is the target of a replace while it is copied to, and whoever goes until it has gone', () => {
    const copying = record([first, second], { kind: 'replace', joins: third, leaves: second })
    expect(names(copying)).toEqual([first, second, third])
    const gone = record([first, third], { kind: 'replace', joins: third, leaves: second, phase: 'retire' })
    expect(names(gone)).toEqual([first, third])
    expect(names(gone, 'touched')).toEqual([first, second, third])
  })
  it('tells a member that the profile has forgotten', () => {
    const two = { ...three, members: three.members.slice(0, 2) }
    expect(unnamedMembers(two, record([first, second, third]))).toEqual([third])
  })
})

describe('what can be counted on', () => {
  it('is the less of before and after, while a change is under way', () => {
    expect(taking(record([first, second, third])).filesystem.assured).toBe('raid1c3')
    expect(taking(record([first, second, third], { joins: third })).filesystem.assured).toBe('raid1')
  })
  it('makes members with one copy wait longer: to give one up would be an error for every program', () => {
    const alone = taking(record([first, second], { joins: second, from: 'single' }))
    expect(alone.filesystem.assured).toBe('single')
    expect(alone.members.every(({ patienceMs }) => patienceMs >= 300_000)).toBe(true)
  })
  it('is counted against those who will be left', () => {
    expect(membersAfter(record([first, second, third]))).toBe(3)
    expect(membersAfter(record([first, second, third], { kind: 'remove', leaves: third }))).toBe(2)
    expect(membersAfter(record([first, second], { kind: 'remove', leaves: third, phase: 'retire' }))).toBe(2)
  })
})

it('a note that is not whole is none', () => {
  const { job } = record([first], { joins: second, limit: 1024, claimed: true })
  expect(isJob(job)).toBe(true)
  for (const wrong of [
    { kind: 'grow' },
    { phase: '' },
    { from: 'raid5' },
    { joins: 7 },
    { limit: -1 },
    { claimed: 1 },
  ])
    expect(isJob({ ...job, ...wrong })).toBe(false)
})
