import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { kitOfSheet } from '../../../src/cli/escrow-fetch.ts'
import type { World } from '../../../src/cli/world.ts'
import { Exit, Fault } from '../../../src/fault.ts'
import { LocalHost } from '../../../src/host/local.ts'
import type { RemoteHost } from '../../../src/host/ssh.ts'
import { type Sealed, seal } from '../../../src/keyring/escrow.ts'
import { dropOlderEscrows, fetchEscrow, putEscrow } from '../../../src/server/escrow.ts'
import { sheetText } from '../../../src/vault/sheet.ts'
import { testWorld } from '../support/world.ts'

/** Two servers that are folders of this machine, with the very commands that a server gets. */
const local = new LocalHost(process.env)
const names = ['fsn', 'gra'] as const
const pin = `SHA256:${'a'.repeat(43)}`

let root: string
let sealed: Sealed
let sheet: string
const places = () => names.map((name) => join(root, name, `escrow-${sealed.sha256.slice(0, 16)}`))
const [first, second] = [() => places()[0] ?? '', () => places()[1] ?? '']

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cv-escrow-'))
  await mkdir(join(root, 'new'))
  sealed = seal(Buffer.from('the kit'))
  for (const path of places()) await putEscrow(local, path, sealed.text)
  const servers = names.map((name, at) => ({
    ssh: `root@${name}:22`,
    hostKey: pin,
    path: places()[at] ?? '',
  }))
  sheet = sheetText({ vault: 'photos', servers, sha256: sealed.sha256 }, sealed.key, new Date())
})
afterEach(() => rm(root, { recursive: true }))

const connect: World['connect'] = async (_, member) => {
  expect(member.hostKey).toBe(pin)
  return { name: member.name, run: local.run.bind(local), close: async () => {} } as unknown as RemoteHost
}

const fetched = async (text = sheet, how: World['connect'] = connect) => {
  await writeFile(join(root, 'sheet'), text)
  const world = testWorld({ connect: how })
  const kit = await kitOfSheet(world, join(root, 'sheet'), join(root, 'new'))
  return { kit: await readFile(kit, 'utf8'), stderr: world.stderr.text }
}

test('the sheet and one server give the kit', async () => {
  expect(await fetched()).toEqual({ kit: 'the kit', stderr: '' })
})

test('typed from paper: other spaces, no words around', async () => {
  const lines = sheet.split('\n').filter((line) => /^(server|sha256|key) /.test(line))
  expect((await fetched(lines.join('\n').replaceAll('  ', ' '))).kit).toBe('the kit')
})

test('a copy that was tampered with, an old one, none: exit 5; the other server stands in for it', async () => {
  for (const lie of [`${sealed.text.slice(0, -8)}AAAAAAA=`, seal(Buffer.from('an old kit')).text, '', '{']) {
    await writeFile(first(), lie)
    const { kit, stderr } = await fetched()
    expect(kit).toBe('the kit')
    expect(stderr).toMatch(/^root@fsn:22: .*tampered with, or an old one; taken from root@gra:22 instead\n$/)
  }
  await writeFile(second(), 'x')
  await expect(fetched()).rejects.toMatchObject({ exit: Exit.trust })
  await rm(first())
  await rm(second())
  await expect(fetched()).rejects.toMatchObject({ exit: Exit.trust, message: 'there is no copy of the kit' })
  expect(await readdir(join(root, 'new'))).toEqual(['kit.tar']) // of the rounds that went well
})

test('a server that is away is passed over; all of them: exit 4; a lie counts for more', async () => {
  const away =
    (name: string): World['connect'] =>
    (profile, member) =>
      member.name.includes(name)
        ? Promise.reject(new Fault(Exit.unreachable, 'cannot be reached', { member: member.name }))
        : connect(profile, member)
  expect((await fetched(sheet, away('fsn'))).kit).toBe('the kit')
  await expect(fetched(sheet, away('root'))).rejects.toMatchObject({ exit: Exit.unreachable })
  await writeFile(second(), 'x')
  await expect(fetched(sheet, away('fsn'))).rejects.toMatchObject({ exit: Exit.trust })
})

test('a wrong key: exit 9; none, and nobody to ask: exit 2', async () => {
  const other = seal(Buffer.from('')).key
  const wrong = sheet.replace(/^key .*$/m, `key ${Buffer.from(other.reveal()).toString()}`)
  await expect(fetched(wrong)).rejects.toMatchObject({ exit: Exit.secret })
  await expect(fetched(sheet.replace(/^key .*$/m, ''))).rejects.toMatchObject({ exit: Exit.usage })
})

test.each([
  ['', 'sha256'],
  ['sha256 12', 'sha256'],
  [`sha256 ${'a'.repeat(64)}`, 'server'],
  [`sha256 ${'a'.repeat(64)}\nserver root@fsn /path`, 'server'],
])('half a sheet: exit 2 and the line: %j', async (text, line) => {
  await expect(fetched(text)).rejects.toMatchObject({
    exit: Exit.usage,
    message: expect.stringContaining(line),
  })
})

test('an older copy goes when the new one is there, and nothing else', async () => {
  for (const name of ['escrow-0123456789abcdef', 'receipt.json']) await writeFile(join(root, 'fsn', name), '')
  await dropOlderEscrows(local, first())
  expect((await readdir(join(root, 'fsn'))).sort()).toEqual([first().replace(/.*\//, ''), 'receipt.json'])
})

test('a large copy comes in pieces', async () => {
  const text = randomBytes(3 * 1024 * 1024).toString('base64')
  await putEscrow(local, first(), text)
  expect((await fetchEscrow(local, first())) === text).toBe(true)
})
