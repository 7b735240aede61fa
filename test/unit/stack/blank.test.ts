import { mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LocalHost } from '../../../src/host/local.ts'
import { checkBlank } from '../../../src/stack/blank.ts'

const size = 64 * 1024 * 1024
let folder: string
let disk: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cv-blank-'))
  disk = join(folder, 'disk')
  writeFileSync(disk, '')
  truncateSync(disk, size)
})
afterEach(() => rmSync(folder, { recursive: true }))

const check = (): Promise<void> => checkBlank(new LocalHost(process.env), disk, size, 'fsn')
const put = (at: number): void => {
  writeSync(openSync(disk, 'r+'), 'x', at)
}

test('a disk of zeros is blank', () => expect(check()).resolves.toBeUndefined())

test.each([
  ['in its first bytes', 0, 0],
  ['where a Btrfs superblock lies', 65_600, 0],
  ['in its last byte', size - 1, size - 4 * 1024 * 1024],
  ['in a sample', 8 * 1024 * 1024 + 5, 8 * 1024 * 1024],
])('one that holds something %s is not', async (_, at, from) => {
  put(at)
  await expect(check()).rejects.toMatchObject({
    exit: 7,
    message: expect.stringContaining(`from ${from} on`),
  })
})

test('one that cannot be read is neither: exit 3', async () => {
  rmSync(disk)
  await expect(check()).rejects.toMatchObject({ exit: 3 })
})
