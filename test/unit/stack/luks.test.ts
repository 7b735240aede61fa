import { expect, test } from 'vitest'
import { describe } from '../../../src/engine/action.ts'
import { openLuks } from '../../../src/stack/luks.ts'
import type { Vault } from '../../../src/stack/vault.ts'

test('before a mapping is closed the kernel forgets its filesystem: an older copy of it is ours to judge', () => {
  const vault = {
    profile: { vault: 'photos' },
    paths: { header: (member: string) => `/state/${member}.luks` },
    local: { name: 'here' },
    nbdIndex: () => 0,
  } as unknown as Vault
  expect(openLuks(vault, 'gra', []).down.map(describe)).toEqual([
    'here: btrfs device scan --forget /dev/mapper/cv-photos-gra',
    'here: cryptsetup close cv-photos-gra',
  ])
})
