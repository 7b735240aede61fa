import { expect, test } from 'vitest'
import type { Command, Output } from '../../../src/host/host.ts'
import type { RecordData } from '../../../src/record/record.ts'
import type { Vault } from '../../../src/stack/vault.ts'
import { lostGenerations } from '../../../src/vault/behind.ts'

const record = { members: { fsn: {}, gra: {} } } as unknown as RecordData

const superblock = (generation: number): string =>
  `fsid 11111111-2222-3333-4444-555555555555
generation ${generation}
num_devices 2
dev_item.uuid 66666666-7777-8888-9999-000000000000
dev_item.devid 1
dev_item.total_bytes 8192
dev_item.bytes_used 4096
magic _BHRfS_M [match]`

/** Second superblocks as the servers give them back, one after the other; null: the server does not answer. */
const vaultWith = (found: Record<string, (number | null)[]>): Vault => {
  const run = async ({ argv }: Command): Promise<Output> => {
    if (argv[0] === 'blockdev') return { code: 0, stdout: '', stderr: '' }
    expect(argv.slice(0, 5)).toEqual(['btrfs', 'inspect-internal', 'dump-super', '--super', '1'])
    const left = found[argv[5]?.split('-').at(-1) ?? ''] ?? []
    const generation = left.length > 1 ? left.shift() : left[0]
    return generation === null || generation === undefined
      ? { code: 1, stdout: '', stderr: 'Input/output error' }
      : { code: 0, stdout: superblock(generation), stderr: '' }
  }
  return { profile: { vault: 'photos' }, local: { name: 'here', run } } as unknown as Vault
}

const lost = (found: Record<string, (number | null)[]>) => lostGenerations(vaultWith(found), record, 'gra', 1)

test('a disk that is as new as the other one has lost nothing that shows', async () => {
  expect(await lost({ fsn: [9], gra: [9] })).toBeNull()
})

test('a commit that the outage cut off may finish first', async () => {
  expect(await lost({ fsn: [9], gra: [8, 9] })).toBeNull()
})

test('an older disk on the same session is a broken promise', async () => {
  expect(await lost({ fsn: [9], gra: [7] })).toEqual({ held: 7, newest: 9 })
})

test('no answer, from this one or from the others, proves nothing', async () => {
  expect(await lost({ fsn: [9], gra: [null] })).toBeNull()
  expect(await lost({ fsn: [null], gra: [7] })).toBeNull()
  expect(await lost({ fsn: [9], gra: [7, null] })).toBeNull()
})
