import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { perform } from '../../../src/engine/action.ts'
import type { Host } from '../../../src/host/host.ts'
import type { ServerMember } from '../../../src/profile/profile.ts'
import { cutFile, diskSize, growFile, requireOwnDisk, roomAt } from '../../../src/server/disk-size.ts'
import { scriptedHost } from '../support/scripted-host.ts'

const folder = mkdtempSync(join(tmpdir(), 'cloudvault-disk-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A server that is this machine: the scripts are run for real, on files of our own. */
const here: Host = {
  name: 'fsn',
  run: async ({ argv: [program = '', ...args] }) => {
    const { status, stdout, stderr } = spawnSync(program, args, {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
    })
    return { code: status, stdout, stderr }
  },
}
const MiB = 2 ** 20
const made = (name: string, bytes: number) => {
  const path = join(folder, name)
  writeFileSync(path, Buffer.alloc(bytes, 'x'))
  return { kind: 'file', path, sizeBytes: bytes } as const
}
const memberOn = (disk: ServerMember['disk']) => ({ name: 'fsn', disk }) as ServerMember

describe('the file on the server', () => {
  test('grows to the byte, allocated in full, and what is in it stays', async () => {
    const disk = made('grow', MiB)
    await perform(growFile(here, disk, 3 * MiB))
    const { size, blocks } = statSync(disk.path)
    expect([size, blocks * 512 >= size]).toEqual([3 * MiB, true])
    expect(readFileSync(disk.path).subarray(0, MiB).equals(Buffer.alloc(MiB, 'x'))).toBe(true)
    expect(await diskSize(here, memberOn(disk))).toBe(3 * MiB)
  })

  test('keeps its size when there is no room', async () => {
    const disk = made('full', MiB)
    const grown = perform(growFile(here, disk, 2 ** 60))
    await expect(grown).rejects.toMatchObject({ exit: 3, details: { stands: 'the disk is as it was' } })
    const { size, blocks } = statSync(disk.path)
    expect([size, blocks * 512 <= 2 * MiB]).toEqual([MiB, true])
  })

  test('is cut, but never made larger by a cut, and never through a symbolic link', async () => {
    const disk = made('cut', 2 * MiB)
    await perform(cutFile(here, disk, MiB))
    expect(statSync(disk.path).size).toBe(MiB)
    await expect(perform(cutFile(here, disk, 2 * MiB))).rejects.toThrow()
    const link = { ...disk, path: join(folder, 'link') }
    spawnSync('ln', ['-s', disk.path, link.path])
    await expect(perform(cutFile(here, link, 4096))).rejects.toThrow()
    await expect(perform(growFile(here, link, 2 * MiB))).rejects.toThrow()
    expect(statSync(disk.path).size).toBe(MiB)
  })

  test('says how much room there is', async () => {
    expect(await roomAt(here, made('room', 0))).toBeGreaterThan(0)
  })
})

test.each([
  ['a directory', { code: 0, stdout: 'directory|4096\n' }, 3],
  ['nothing', { code: 1, stderr: 'stat: cannot statx' }, 3],
  ['a lost connection', { code: null }, 4],
])('%s has no size', async (_, answer, exit) => {
  const host = scriptedHost('fsn', [['stat', answer]])
  await expect(diskSize(host, memberOn({ kind: 'file', path: '/x', sizeBytes: 1 }))).rejects.toMatchObject({
    exit,
  })
})

test('a block device has what its server says', async () => {
  const host = scriptedHost('fsn', [['blockdev --getsize64 /dev/vdb', { stdout: '1073741824\n' }]])
  expect(await diskSize(host, memberOn({ kind: 'device', path: '/dev/vdb' }))).toBe(2 ** 30)
})

test('a file that provision did not make is not touched: exit 5', async () => {
  const receipt = {
    schema: 'cloudvault.server-receipt/1',
    made: { disk: { state: 'made', what: ['/srv/other.img'] } },
  }
  const host = scriptedHost('fsn', [[/receipt\.json/, { stdout: JSON.stringify(receipt) }]])
  const member = memberOn({ kind: 'file', path: '/srv/photos.img', sizeBytes: 1 })
  await expect(requireOwnDisk(host, 'photos', member)).rejects.toMatchObject({ exit: 5 })
  const own = memberOn({ kind: 'file', path: '/srv/other.img', sizeBytes: 1 })
  await expect(requireOwnDisk(host, 'photos', own)).resolves.toBeUndefined()
})
