import { describe, expect, test } from 'vitest'
import type { Held, KnownEpoch } from '../../../src/record/epoch.ts'
import type { RecordData } from '../../../src/record/record.ts'
import { type Compared, compare } from '../../../src/stack/compare.ts'

/** What superblocks mean against the record: fine, old, lacking, rolled back. Two members, one may be away. */

const member = (generation: number) => ({ devid: 1, deviceUuid: '', luksUuid: '', sizeBytes: 0, generation })
const record = (fsn: number, gra: number, more: Partial<RecordData> = {}): RecordData => ({
  schema: 'cloudvault.record/1',
  vault: 'photos',
  phase: 'created',
  createdAt: '',
  fsid: '',
  members: { fsn: member(fsn), gra: member(gra) },
  generation: Math.max(fsn, gra),
  provedAt: '',
  ...more,
})
const epoch: KnownEpoch = { n: 1, from: 40, id: 'aaaaaaaa', members: ['fsn'], written: true }
const at = (generation: number, held: KnownEpoch | null = null): Held => ({
  generation,
  epoch: held && { n: held.n, from: held.from, id: held.id },
})
const state = (found: Readonly<Record<string, Held>>, known: RecordData): Compared & { is: 'one state' } => {
  const compared = compare(found, known, { spare: 1, takenOver: false })
  if (compared.is === 'split') throw new Error(compared.why)
  return compared
}

describe('all members', () => {
  test('as they were proved, or newer', () => {
    for (const generation of [41, 50])
      expect(state({ fsn: at(generation), gra: at(generation) }, record(41, 41))).toMatchObject({
        stale: [],
        surprising: [],
        rolledBack: false,
        lacking: null,
      })
  })

  test('one behind: a surprise, unless something known explains it', () => {
    const found = { fsn: at(41), gra: at(30) }
    expect(state(found, record(41, 41)).surprising).toEqual(['gra'])
    expect(state(found, record(41, 30)).surprising).toEqual([])
    expect(state(found, record(41, 31)).surprising).toEqual(['gra'])
  })

  test('after a crash the last commit may have reached one only; read-only sessions explain nothing', () => {
    const found = { fsn: at(42), gra: at(41) }
    const open = { bootId: 'b', since: '' }
    expect(state(found, record(41, 41, { open })).surprising).toEqual([])
    expect(state(found, record(41, 41, { open: { ...open, readOnly: true } })).surprising).toEqual(['gra'])
    expect(
      state(found, record(41, 41, { open: { ...open, readOnly: true, crashed: true } })).surprising,
    ).toEqual([])
  })

  test('all older than the record: rolled back; one of them newer: not', () => {
    expect(state({ fsn: at(7), gra: at(7) }, record(8, 8)).rolledBack).toBe(true)
    expect(state({ fsn: at(7), gra: at(8) }, record(8, 8))).toMatchObject({
      rolledBack: false,
      surprising: ['fsn'],
    })
  })

  test('all from before an epoch that was written: rolled back, whatever the numbers say', () => {
    const known = record(40, 40, { epochs: [epoch] })
    expect(state({ fsn: at(40), gra: at(40) }, known).rolledBack).toBe(true)
  })
})

describe('one member', () => {
  test('that has everything may be written', () => {
    expect(state({ fsn: at(41) }, record(41, 41)).lacking).toBeNull()
    expect(state({ fsn: at(50, epoch) }, record(50, 41, { epochs: [epoch] })).lacking).toBeNull()
  })

  test('that lacks what the other has may not: by its pin, by an epoch, by an unfinished resilver', () => {
    expect(state({ gra: at(41) }, record(50, 41)).lacking).toContain('holds 50')
    expect(state({ gra: at(40) }, record(40, 40, { epochs: [epoch] })).lacking).toContain('fsn')
    const resilver = { members: ['gra'], since: '' }
    expect(state({ gra: at(41) }, record(41, 41, { resilver })).lacking).toContain('gra missed writes')
    expect(state({ fsn: at(41) }, record(41, 41, { resilver })).lacking).toBeNull()
  })

  test('older than itself is a rollback', () => {
    expect(state({ fsn: at(40) }, record(41, 41)).rolledBack).toBe(true)
    expect(state({ gra: at(40) }, record(50, 41)).rolledBack).toBe(true)
  })

  test('of an epoch begun elsewhere is a stranger; two of them are not', () => {
    const found = at(50, { ...epoch, id: 'ffffffff' })
    expect(state({ fsn: found }, record(41, 41)).stranger).toBe(true)
    expect(state({ fsn: found, gra: found }, record(41, 41)).stranger).toBe(false)
  })
})
