import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { deviceState, findByBackend, freeIndex } from '../../../../src/stack/attach/sysfs.ts'

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cv-sysfs-'))
})
afterEach(() => rm(root, { recursive: true }))

async function device(index: number, files: Record<string, string> = {}) {
  const all = { size: '0\n', ro: '0\n', 'queue/write_cache': 'write through\n', ...files }
  await mkdir(join(root, `nbd${index}`, 'holders'), { recursive: true })
  for (const [name, content] of Object.entries(all)) {
    const path = join(root, `nbd${index}`, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, content)
  }
}

const connected = (backend: string) => ({
  size: '131072\n',
  pid: '77\n',
  backend: `${backend}\n`,
  'queue/write_cache': 'write back\n',
})

it('a connected device with something on it', async () => {
  await device(2, { ...connected('cv-v-a'), 'holders/dm-0/x': '' })
  expect(await deviceState(2, root)).toEqual({
    exists: true,
    connected: true,
    backend: 'cv-v-a',
    sizeBytes: 67108864n,
    readOnly: false,
    writeCache: 'write back',
    holders: ['dm-0'],
  })
})

it('a device without connection, and none at all', async () => {
  await device(0, { ro: '1\n' })
  expect(await deviceState(0, root)).toMatchObject({
    exists: true,
    connected: false,
    backend: null,
    readOnly: true,
  })
  expect(await deviceState(1, root)).toMatchObject({
    exists: false,
    connected: false,
    writeCache: '',
    holders: [],
  })
})

it('is found by its identifier only while connected', async () => {
  await device(0, { backend: 'cv-v-a\n' })
  await device(10, connected('cv-v-ab'))
  await device(3, connected('cv-v-a'))
  expect(await findByBackend('cv-v-a', root)).toBe(3)
  expect(await findByBackend('cv-v-', root)).toBeNull()
})

it('the free index skips what is connected, held or given out, and goes past the end', async () => {
  await device(0, connected('x'))
  await device(1, { 'holders/dm-1/x': '' })
  await device(2)
  await device(10)
  expect(await freeIndex([], root)).toBe(2)
  expect(await freeIndex([2], root)).toBe(10)
  expect(await freeIndex([2, 10, 11], root)).toBe(12)
})

it('partitions and strange names are no devices', async () => {
  await device(0, connected('x'))
  await mkdir(join(root, 'nbd5p1'))
  await mkdir(join(root, 'nbd'))
  expect(await freeIndex([], root)).toBe(1)
})
