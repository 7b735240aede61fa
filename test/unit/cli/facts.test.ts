import { join } from 'node:path'
import { expect, test } from 'vitest'
import { chooseFacts } from '../../../src/cli/facts.ts'
import { Receipt } from '../../../src/engine/receipt.ts'
import type { Profile } from '../../../src/profile/profile.ts'
import { scratch } from '../support/scratch.ts'

/** Two vaults that come up at the same moment see the same free devices. */
test('an index that another up has reserved is left to it', async () => {
  const profile = { vault: 'photos', members: [{ name: 'fsn' }, { name: 'gra' }] } as unknown as Profile
  const receipt = await Receipt.open(join(await scratch(), 'r'), 'b', () => true)
  const held = new Set<number>()
  const reserve = async (index: number): Promise<boolean> => {
    if (held.has(index)) return false
    held.add(index)
    return true
  }
  const first = await chooseFacts(profile, receipt, reserve)
  const second = await chooseFacts(profile, receipt, reserve)
  const all = [...first.indexes.values(), ...second.indexes.values()]
  expect(new Set(all).size).toBe(4)
  expect([...held].sort((a, b) => a - b)).toEqual(all.sort((a, b) => a - b))
})
