import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Exit } from '../../../src/fault.ts'
import { LocalHost } from '../../../src/host/local.ts'
import type { Profile } from '../../../src/profile/profile.ts'
import { vaultPaths } from '../../../src/record/paths.ts'
import type { RecordData } from '../../../src/record/record.ts'
import { kitReport } from '../../../src/vault/kit.ts'
import { compareKit, type Kit, openKit, putBack } from '../../../src/vault/restore.ts'

/** A kit that is put back onto a machine in every state: nothing is lost, and nothing newer is overwritten. */

let root: string
let env: Record<string, string>
let kit: Kit
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cv-restore-'))
  env = { CLOUDVAULT_STATE: join(root, 'state'), CLOUDVAULT_PROFILE: join(root, 'photos.yaml') }
  const folder = join(root, 'kit')
  const link = { kind: 'tls', port: 10809, clients: [], auth: 'psk' }
  const profile = { vault: 'photos', members: [{ name: 'fsn', link }] } as unknown as Profile
  kit = { profile, record: record('one', 7), folder }
  await put(join(folder, 'profile.yaml'), 'version: 1')
  await put(join(folder, 'keys.luks'), 'keys')
  await put(join(folder, 'headers/fsn.luks'), 'header')
  await put(join(folder, 'links/fsn/tls.psk'), 'key')
  await put(join(folder, 'links/fsn/nobody.pem'), 'nobody')
  await put(join(folder, 'record.json'), JSON.stringify(kit.record))
  await put(join(root, 'photos.yaml'), 'version: 1')
})
afterEach(() => rm(root, { recursive: true }))

const record = (fsid: string, generation: number): RecordData => ({
  schema: 'cloudvault.record/1',
  vault: 'photos',
  phase: 'created',
  createdAt: '',
  fsid,
  members: {},
  generation,
  provedAt: '',
})

const put = async (path: string, text: string): Promise<void> => {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
}
const here = (name: string): string => join(root, 'state/photos', name)
const states = async () =>
  Object.fromEntries((await compareKit(kit, env)).map(({ name, now }) => [name, now]))
const restored = async () => putBack(kit, await compareKit(kit, env), join(root, 'state/photos'))

test('an empty machine gets everything, and the second time there is nothing to do', async () => {
  expect(await restored()).toBeNull()
  expect(await readFile(here('headers/fsn.luks'), 'utf8')).toBe('header')
  expect(await readFile(here('links/fsn/tls.psk'), 'utf8')).toBe('key')
  expect(new Set(Object.values(await states()))).toEqual(new Set(['same']))
})

test('what differs is replaced and kept aside; a newer record and profile stay', async () => {
  await restored()
  await put(here('keys.luks'), 'damaged')
  await put(here('record.json'), JSON.stringify(record('one', 12)))
  await put(join(root, 'photos.yaml'), 'version: 1 # host keys pinned since')
  expect(await states()).toEqual({
    'profile.yaml': 'newer',
    'record.json': 'newer',
    'keys.luks': 'differs',
    'headers/fsn.luks': 'same',
    'links/fsn/tls.psk': 'same',
    'links/fsn/nobody.pem': 'same',
  })
  const kept = await restored()
  expect(await readFile(join(kept ?? '', 'keys.luks'), 'utf8')).toBe('damaged')
  expect(await readFile(here('keys.luks'), 'utf8')).toBe('keys')
  expect(JSON.parse(await readFile(here('record.json'), 'utf8')).generation).toBe(12)
})

test('a damaged record is replaced', async () => {
  await put(here('record.json'), '{')
  expect((await states())['record.json']).toBe('differs')
})

test('another vault of the same name is not mixed with this one', async () => {
  await put(here('record.json'), JSON.stringify(record('another', 3)))
  await expect(compareKit(kit, env)).rejects.toMatchObject({ exit: Exit.decide })
})

test('what is no kit is refused before anything is written', async () => {
  const local = new LocalHost(process.env)
  const folder = await mkdtemp(join(root, 'unpacked-'))
  await expect(openKit(local, join(root, 'none.tar'), folder)).rejects.toMatchObject({ exit: Exit.missing })
  await expect(openKit(local, join(root, 'photos.yaml'), folder)).rejects.toMatchObject({ exit: Exit.trust })
})

test('a kit is outdated as soon as the keyring is newer, wherever the kit lies', async () => {
  await restored()
  const paths = vaultPaths('photos', env)
  const written = (at: Date) => ({
    ...kit.record,
    kit: { path: '/media/usb/gone.tar', at: at.toISOString() },
  })
  const state = async (at: Date) => (await kitReport(kit.profile, paths, written(at))).state
  expect(await state(new Date(Date.now() + 1000))).toBe('current')
  expect(await state(new Date(Date.now() - 60_000))).toBe('outdated')
  expect((await kitReport(kit.profile, paths, kit.record)).state).toBe('missing')
})

test('a kit with a link in the place of a file is none', async () => {
  const [made, folder] = [join(root, 'made'), join(root, 'unpacked')]
  await put(join(made, 'profile.yaml'), 'version: 1')
  await put(join(made, 'record.json'), '{}')
  await put(join(made, 'headers/fsn.luks'), 'header')
  await symlink('/etc/hostname', join(made, 'keys.luks'))
  await mkdir(folder)
  const local = new LocalHost(process.env)
  await local.run({
    argv: [
      'tar',
      '--create',
      '--file',
      join(root, 'kit.tar'),
      '--directory',
      made,
      'profile.yaml',
      'record.json',
      'keys.luks',
      'headers',
    ],
  })
  await expect(openKit(local, join(root, 'kit.tar'), folder)).rejects.toMatchObject({
    exit: Exit.trust,
    details: { detail: 'keys.luks in it is no file' },
  })
})
