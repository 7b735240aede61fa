import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Exit } from '../../../src/fault.ts'
import type { Job } from '../../../src/record/job.ts'
import { makeRoom, NoRoom } from '../../../src/stack/balance.ts'
import type { Vault } from '../../../src/stack/vault.ts'
import { whatIsShort } from '../../../src/vault/short.ts'
import { scratch } from '../support/scratch.ts'
import { scriptedHost } from '../support/scripted-host.ts'

/** A change that meets a full disk. */

const never = new AbortController().signal
const full = { code: 1, stderr: "ERROR: error during balancing '/m': No space left on device" }

test('chunks that hold nothing are given back first; that there is no room for more stops nothing yet', async () => {
  const host = scriptedHost('here', [
    ['-dusage=0', {}],
    ['-dusage=10', full],
  ])
  await makeRoom(host, '/m', never)
  expect(host.lines).toEqual([
    'btrfs balance start -f -dusage=0 -musage=0 /m',
    'btrfs balance start -f -dusage=10 -musage=10 /m',
  ])
})

test('any other failure of it is one', async () => {
  const host = scriptedHost('here', [['balance', { code: 1, stderr: 'ERROR: Read-only file system' }]])
  await expect(makeRoom(host, '/m', never)).rejects.not.toBeInstanceOf(NoRoom)
})

const superblock = (devid: number, total: number, used: number): string =>
  `fsid 22222222-2222-3333-4444-555555555555
generation 9
num_devices 3
dev_item.uuid 66666666-7777-8888-9999-000000000000
dev_item.devid ${devid}
dev_item.total_bytes ${total * 2 ** 20}
dev_item.bytes_used ${used * 2 ** 20}
magic _BHRfS_M [match]`

const known = (devid: number) => ({
  ...{ devid, deviceUuid: '66666666-7777-8888-9999-000000000000', sizeBytes: 2 ** 30, generation: 7 },
  luksUuid: '11111111-2222-3333-4444-555555555555',
})

const shortOf = async (job: Partial<Job>): Promise<string> => {
  const path = join(await scratch(), 'record.json')
  const record = {
    ...{ schema: 'cloudvault.record/1', vault: 'photos', phase: 'created', generation: 7 },
    ...{ createdAt: '2026-11-22T10:00:00Z', provedAt: '2026-11-22T10:00:00Z' },
    fsid: '22222222-2222-3333-4444-555555555555',
    members: { fsn: known(1), gra: known(2), hel: known(3) },
    job: { kind: 'add', phase: 'move', from: 'raid1', to: 'raid1c3', since: '2026-11-22T12:00:00Z', ...job },
  }
  await writeFile(path, JSON.stringify(record))
  const local = scriptedHost('here', [
    ['filesystem sync', {}],
    ['blockdev', {}],
    ['cv-photos-fsn', { stdout: superblock(1, 448, 300) }],
    ['cv-photos-gra', { code: 1, stderr: 'Input/output error' }],
    ['cv-photos-hel', { stdout: superblock(3, 320, 319) }],
  ])
  const vault = {
    ...{ paths: { record: path }, profile: { vault: 'photos', mount: { at: '/vault/photos' } }, local },
  } as unknown as Vault
  const fault = await whatIsShort(
    vault,
    new NoRoom(Exit.decide, 'there is no room', { stands: 'all is there' }),
  )
  expect(fault).toMatchObject({ exit: Exit.decide, details: { stands: 'all is there' } })
  return `${fault.message}; ${fault.details.next}`
}

test('it says who has how much left, and what to do', async () => {
  const said = await shortOf({ joins: 'hel' })
  expect(said).toContain('there is no room (raid1c3); left to give: fsn 148 MiB, hel 1 MiB;')
  expect(said).toMatch(
    /delete something in \/vault\/photos, then cloudvault resume photos; or cloudvault cancel/,
  )
})

test('the room of the one that goes helps nobody', async () => {
  expect(await shortOf({ kind: 'remove', leaves: 'fsn', to: 'raid1' })).toContain('left to give: hel 1 MiB;')
})
