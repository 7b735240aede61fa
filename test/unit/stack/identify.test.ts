import { expect, test } from 'vitest'
import { disagreement } from '../../../src/stack/identify.ts'

/** Who the members say they are, when nobody here remembers. */

const member = (name: string, devid: number, other: { fsid?: string; devices?: number } = {}) => ({
  name,
  block: { fsid: 'one', generation: 9, devid, deviceUuid: name, devices: 2, allocatedBytes: 0, ...other },
})

test('two devices of one filesystem agree', () =>
  expect(disagreement([member('fsn', 1), member('gra', 2)])).toBeNull())

test.each([
  [[member('fsn', 1), member('gra', 2, { fsid: 'two' })], 'fsn holds one, gra holds two'],
  [[member('fsn', 1), member('gra', 1)], 'fsn is device 1, gra is device 1'],
  [[member('fsn', 1, { devices: 3 }), member('gra', 2)], 'it has 3 devices, the profile has 2 members'],
])('members that disagree are refused, and why', (found, words) => expect(disagreement(found)).toBe(words))
