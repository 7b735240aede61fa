import { expect, test } from 'vitest'
import { lineage, parseLabel } from '../../../src/record/epoch.ts'
import { disagreement, epochsOf } from '../../../src/stack/identify.ts'

/** Who the members say they are, when nobody here remembers. */

const member = (
  name: string,
  devid: number,
  other: { fsid?: string; devices?: number; generation?: number; label?: string } = {},
) => ({
  name,
  block: {
    fsid: 'one',
    generation: 9,
    devid,
    deviceUuid: name,
    label: 'photos',
    devices: 2,
    allocatedBytes: 0,
    totalBytes: 0,
    ...other,
  },
})

test('two devices of one filesystem agree', () =>
  expect(disagreement([member('fsn', 1), member('gra', 2)])).toBeNull())

test.each([
  [[member('fsn', 1), member('gra', 2, { fsid: 'two' })], 'fsn holds one, gra holds two'],
  [[member('fsn', 1), member('gra', 1)], 'fsn is device 1, gra is device 1'],
  [[member('fsn', 1, { devices: 3 }), member('gra', 2)], 'it has 3 devices, the profile has 2 members'],
])('members that disagree are refused, and why', (found, words) => expect(disagreement(found)).toBe(words))

test.each([
  [40, 'one line'],
  [41, 'split'],
])('the labels alone tell a half that stopped at %i: %s', (generation, is) => {
  const found = [
    member('fsn', 1, { label: 'photos#1.40.aaaaaaaa', generation: 50 }),
    member('gra', 2, { generation }),
  ]
  const held = found.map(({ name, block }) => [name, { ...block, epoch: parseLabel('photos', block.label) }])
  expect(lineage(Object.fromEntries(held), epochsOf('photos', found).epochs ?? []).is).toBe(is)
  expect(epochsOf('photos', [member('fsn', 1)])).toEqual({})
})
