import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  type RecordData,
  readRecord,
  updateRecord,
  withStale,
  writeRecord,
} from '../../../src/record/record.ts'
import { scratch } from '../support/scratch.ts'

const record: RecordData = {
  schema: 'cloudvault.record/1',
  vault: 'photos',
  phase: 'created',
  createdAt: '2026-11-22T00:00:00Z',
  fsid: 'f',
  members: {},
  generation: 8,
  provedAt: '2026-11-22T00:00:00Z',
}

test('members that fall silent in the same moment are all noted', async () => {
  const path = join(await scratch(), 'record.json')
  await writeRecord(path, record)
  const names = ['fsn', 'gra', 'hel', 'waw']
  await Promise.all(names.map((name) => updateRecord(path, (now) => withStale(now, [name]))))
  expect((await readRecord(path))?.resilver?.members).toEqual(names)
})

test('a change that fails does not stop the next one', async () => {
  const path = join(await scratch(), 'record.json')
  await expect(updateRecord(path, (now) => now)).rejects.toMatchObject({ exit: 3 })
  await writeRecord(path, record)
  await updateRecord(path, (now) => withStale(now, ['fsn']))
  expect((await readRecord(path))?.resilver?.members).toEqual(['fsn'])
})
