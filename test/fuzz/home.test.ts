import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect } from 'vitest'
import { chooseFacts } from '../../src/cli/facts.ts'
import { Receipt } from '../../src/engine/receipt.ts'
import { Secret } from '../../src/host/secret.ts'
import { seal, unseal } from '../../src/keyring/escrow.ts'
import type { Profile } from '../../src/profile/profile.ts'
import { type Held, type KnownEpoch, lineage, parseLabel } from '../../src/record/epoch.ts'
import { vaultPaths } from '../../src/record/paths.ts'
import { readRecord, wasCut, withoutStale, withStale } from '../../src/record/record.ts'
import { compare } from '../../src/stack/compare.ts'
import { diverged, oldCopy, rolledBack, stranger } from '../../src/stack/refuse.ts'
import { progressLine } from '../../src/ui/progress.ts'
import { kitReport } from '../../src/vault/kit.ts'
import { readProgress } from '../../src/vault/progress.ts'
import { parseSheet, type Sheet, sheetText } from '../../src/vault/sheet.ts'
import { member } from '../unit/support/site.ts'
import { expectPrintable, fuzz, printed } from './fuzz.ts'
import { changed, damaged } from './inputs.ts'

/** What this machine keeps about a vault, after a bad disk or a bad hand has been at it. */

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudvault-fuzz-'))
})
afterAll(() => rm(folder, { recursive: true }))

const put = async (name: string, text: string): Promise<string> => {
  const path = join(folder, name)
  await writeFile(path, text)
  return path
}

const profile = {
  vault: 'photos',
  members: [member(), member({ name: 'gra' })],
  filesystem: { redundancy: 'raid1' },
} as unknown as Profile

const memberRecord = { devid: 1, deviceUuid: '0a4c7d0e', luksUuid: 'x', sizeBytes: 536870912, generation: 41 }
const epoch: KnownEpoch = { n: 1, from: 30, id: '9f03c2d1', members: ['fsn'], written: true }
const record = {
  schema: 'cloudvault.record/1',
  vault: 'photos',
  phase: 'created',
  createdAt: '2026-11-22T06:00:00Z',
  fsid: '6f2b8c3e',
  members: { fsn: memberRecord, gra: { ...memberRecord, devid: 2 } },
  generation: 41,
  provedAt: '2026-11-22T06:00:00Z',
  open: { bootId: '', since: '2026-11-22T06:00:00Z', readOnly: true },
  resilver: { members: ['gra'], since: '2026-11-22T06:00:00Z', phase: 'mend' },
  epochs: [epoch],
  rollbacks: [{ at: '2026-11-22T06:00:00Z', from: 9, to: 7 }],
  scrub: {
    state: 'finished',
    finishedAt: '2026-11-22T06:00:00Z',
    durationMs: 1,
    bytes: 1,
    corrected: 0,
    uncorrectable: 0,
  },
  keyring: { changes: 4 },
  escrow: { at: '2026-11-22T06:00:00Z' },
  job: {
    kind: 'replace',
    phase: 'move',
    joins: 'hel',
    leaves: 'gra',
    from: 'raid1',
    to: 'raid1',
    since: '2026-11-22T06:00:00Z',
    claimed: true,
  },
  kit: { path: '/root/usb/kit.tar', at: '2026-11-22T06:00:00Z' },
}
const found: Record<string, Held> = { fsn: { generation: 44, epoch }, gra: { generation: 29, epoch: null } }

const jsonOf = (sample: unknown): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 4, arbitrary: changed(sample).map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: damaged(JSON.stringify(sample, null, 2)) },
  )

fuzz(
  'the record, and everything that is asked of it',
  jsonOf(record),
  async (text) => {
    const read = await readRecord(await put('record.json', text))
    if (!read) return
    wasCut(read)
    withStale(read, ['fsn'])
    withoutStale(read, 'gra')
    const paths = vaultPaths('photos', { CLOUDVAULT_STATE: folder, CLOUDVAULT_RUN: folder })
    await kitReport(profile, paths, read)
    const state = compare(found, read, { spare: 1, takenOver: false })
    if (state.is === 'split') return expectPrintable(printed(diverged('photos', found, state.why)))
    for (const fault of [
      rolledBack('photos', read, state),
      oldCopy('photos', state),
      stranger('photos', 'fsn', state),
    ])
      expectPrintable(printed(fault))
  },
  1500,
)

const receipt = {
  schema: 'cloudvault.receipt/1',
  bootId: 'b',
  facts: { 'nonce.fsn': 'ab'.repeat(16), 'nbd.fsn': '0' },
  steps: [
    { name: 'session fsn', state: 'made' },
    { name: 'attach fsn', state: 'making' },
  ],
}

fuzz(
  'the receipt, and what goes on from it',
  jsonOf(receipt),
  async (text) => {
    const read = await Receipt.open(await put('receipt.json', text), 'b', () => true)
    const { nonces, indexes } = await chooseFacts(profile, read, null)
    for (const { name } of profile.members) {
      expect(nonces.get(name)).toMatch(/^[0-9a-f]{32}$/)
      expect(Number.isSafeInteger(indexes.get(name))).toBe(true)
      expect([null, 'making', 'made', 'found']).toContain(read.state(`session ${name}`))
    }
    await read.mark('mount', 'making')
  },
  400,
)

fuzz(
  "the resilver's note of how far it is",
  jsonOf({ at: Date.now(), phase: 'mend', share: 0.5, done: 7, corrected: 3, etaMs: 4000 }),
  async (text) => {
    const progress = await readProgress(await put('progress.json', text))
    if (progress) expectPrintable(progressLine(progress))
  },
)

fuzz('an epoch label', damaged('photos#2.41.9f03c2d1', 'photos', 'photos#1.0.00000000'), (label) => {
  const parsed = parseLabel('photos', label)
  if (parsed) expect(Number.isSafeInteger(parsed.n) && Number.isSafeInteger(parsed.from)).toBe(true)
})

const numbers = fc.nat(60)
const epochs = fc.record({
  n: fc.integer({ min: 1, max: 4 }),
  from: numbers,
  id: fc.constantFrom('9f03c2d1', '11111111'),
})
fuzz(
  'epochs in every order',
  fc.tuple(
    fc.dictionary(
      fc.constantFrom('fsn', 'gra', 'hel'),
      fc.record({ generation: numbers, epoch: fc.option(epochs) }),
      { minKeys: 1 },
    ),
    fc.array(
      fc.record({
        n: fc.integer({ min: 1, max: 4 }),
        from: numbers,
        id: fc.constantFrom('9f03c2d1', '11111111'),
        members: fc.subarray(['fsn', 'gra', 'hel']),
      }),
      { maxLength: 4 },
    ),
  ),
  ([held, history]) => {
    const line = lineage(held, history)
    if (line.is === 'split') expectPrintable(printed(diverged('photos', held, line.why)))
  },
  3000,
)

const sheet = sheetText(
  {
    vault: 'photos',
    servers: [{ ssh: 'root@192.0.2.1:22', hostKey: `SHA256:${'A'.repeat(43)}`, path: '/etc/cloudvault/x' }],
    sha256: 'ab'.repeat(32),
  } as unknown as Sheet,
  new Secret(Buffer.alloc(32, 7)),
  new Date(0),
)
fuzz('the printed sheet, typed in again', damaged(sheet), (text) => void parseSheet(text))

const sealed = seal(Buffer.from('a kit'))
fuzz(
  'a copy in escrow that somebody changed',
  damaged(sealed.text),
  (text) => {
    const opened = unseal(text, new Secret(Uint8Array.from(sealed.key.reveal())))
    expect(opened.toString()).toBe('a kit') // or a Fault: what was changed does not open
  },
  30,
)
