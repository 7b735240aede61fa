import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Job } from '../../../src/record/job.ts'
import { type RecordData, withStale } from '../../../src/record/record.ts'
import { givenUpSince, holdChange } from '../../../src/stack/hold.ts'
import type { Vault } from '../../../src/stack/vault.ts'
import { scratch } from '../support/scratch.ts'
import { scriptedHost } from '../support/scripted-host.ts'

/** What becomes of a change while a member that it needs is given up. */

const replacing: Job = {
  ...{ kind: 'replace', phase: 'move', joins: 'waw', leaves: 'gra', from: 'raid1', to: 'raid1' },
  since: '2026-11-22T12:00:00Z',
}

const known = (devid: number) => ({
  ...{ devid, deviceUuid: '66666666-7777-8888-9999-000000000000', sizeBytes: 2 ** 30, generation: 7 },
  luksUuid: '11111111-2222-3333-4444-555555555555',
})

const record = (job?: Job): RecordData => ({
  ...{ schema: 'cloudvault.record/1', vault: 'photos', phase: 'created', generation: 7 },
  ...{ createdAt: '2026-11-22T10:00:00Z', provedAt: '2026-11-22T10:00:00Z' },
  fsid: '22222222-2222-3333-4444-555555555555',
  members: { fsn: known(1), gra: known(2) },
  ...(job ? { job } : {}),
})

const fallsSilent = async (member: string, job?: Job, answer = {}) => {
  const path = join(await scratch(), 'record.json')
  await writeFile(path, JSON.stringify(record(job)))
  const local = scriptedHost('here', [['cancel', answer]])
  const said: string[] = []
  const vault = { paths: { record: path }, profile: { mount: { at: '/m' } }, local } as unknown as Vault
  await holdChange(vault, member, (line) => said.push(line))
  return { said, lines: local.lines }
}

test('the target of a copy falls silent: the copy is ended, or it would "end" with nothing on the target', async () => {
  const { said, lines } = await fallsSilent('waw', replacing)
  expect(lines).toContain('btrfs replace cancel /m')
  expect(lines).toContain('btrfs balance cancel /m')
  expect(lines).toContain('btrfs device remove cancel /m')
  expect(said).toEqual(['replacing gra by waw: waits until waw answers'])
})

test('what cannot be ended keeps nobody from going on', async () => {
  await fallsSilent('fsn', replacing, { code: 1, stderr: 'ERROR: cannot access /m' })
})

test('the one that goes may be dead, and where nothing moves nothing is ended', async () => {
  for (const job of [replacing, { ...replacing, phase: 'prepare' } as const, undefined])
    expect(await fallsSilent('gra', job)).toEqual({ said: [], lines: [] })
})

test('whoever waits between two chunks sees who was given up since then, and is needed', () => {
  const then = withStale(record(replacing), ['hel'])
  expect(givenUpSince(then, then)).toEqual([])
  expect(givenUpSince(then, withStale(then, ['gra']))).toEqual([])
  expect(givenUpSince(then, withStale(then, ['gra', 'fsn']))).toEqual(['fsn'])
})
