import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type KeyOptions, keyVerb } from '../../../src/cli/key.ts'
import { Exit } from '../../../src/fault.ts'
import { LocalHost } from '../../../src/host/local.ts'
import { Secret } from '../../../src/host/secret.ts'
import { createKeyring, unlockKeyring } from '../../../src/keyring/keyring.ts'
import { testWorld } from '../support/world.ts'

/** The verb on a real keyring. Passphrases come from commands, so that nobody has to be asked. */
const local = new LocalHost(process.env)
const cheap = { algorithm: 'pbkdf2', iterations: 1000 } as const

// Read now: a verb that changes something leaves the current directory.
const shipped = readFileSync('profiles/two-servers.yaml', 'utf8')

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cv-key-'))
  const text = shipped.replace(
    'passphrase: { prompt: true }',
    'passphrase: { command: [printf, old] }\n  kdf: { algorithm: pbkdf2, iterations: 1000 }',
  )
  await writeFile(join(folder, 'photos.yaml'), text, { mode: 0o600 })
  await mkdir(join(folder, 'photos'), { mode: 0o700 })
  await createKeyring(local, join(folder, 'photos', 'keys.luks'), new Secret(Buffer.from('old')), cheap)
})
afterEach(() => rm(folder, { recursive: true }))

const keyring = async (): Promise<string> =>
  createHash('sha256')
    .update(await readFile(join(folder, 'photos', 'keys.luks')))
    .digest('hex')

const opens = (passphrase: string): Promise<boolean> =>
  unlockKeyring(
    local,
    { path: join(folder, 'photos', 'keys.luks'), kdf: cheap, restore: '' },
    new Secret(Buffer.from(passphrase)),
  ).then(
    () => true,
    () => false,
  )

const key = async (action: string, slot?: string, options: KeyOptions = {}) => {
  const memory = testWorld({ env: { CLOUDVAULT_STATE: folder } })
  const world = { ...memory, local, uid: 0 }
  const exit = await keyVerb(world, action, join(folder, 'photos.yaml'), slot, options)
  return { exit, stdout: memory.stdout.text }
}

describe('key', () => {
  test('change: the new one opens, the old one does not, and the kit is said to be old', async () => {
    const { exit, stdout } = await key('change', undefined, { new: 'command:printf new' })
    expect(exit).toBe(Exit.ok)
    expect(stdout).toContain('the passphrase is changed')
    expect(stdout).toContain('recovery kit')
    expect([await opens('new'), await opens('old')]).toEqual([true, false])
  })

  test('add, list, remove: by slot, with the typed name', async () => {
    await key('add', undefined, { new: 'command:printf second' })
    const { stdout } = await key('list', undefined, { json: true })
    expect(JSON.parse(stdout)).toMatchObject({
      schema: 'cloudvault.key/1',
      vault: 'photos',
      slots: [{ number: 0 }, { number: 1 }],
    })
    await key('remove', '1', { confirm: 'photos' })
    expect([await opens('old'), await opens('second')]).toEqual([true, false])
  })

  test('a recovery key is shown once, in the JSON too', async () => {
    const { stdout } = await key('add', undefined, { recovery: true, json: true })
    const { recovery } = JSON.parse(stdout) as { recovery: string }
    expect(await opens(recovery)).toBe(true)
    expect((await key('list')).stdout).not.toContain(recovery)
  })

  test.each([
    [
      'a wrong passphrase',
      'change',
      undefined,
      { passphrase: 'command:printf x', new: 'command:printf y' },
      9,
    ],
    ['the same passphrase again', 'change', undefined, { new: 'command:printf old' }, 2],
    ['a slot that is not there', 'remove', '7', { confirm: 'photos' }, 2],
    ['the last slot', 'remove', '0', { confirm: 'photos' }, 7],
    ['an unknown action', 'burn', undefined, {}, 2],
    ['a passphrase in the open', 'change', undefined, { new: 'hunter2' }, 2],
  ])('refuses %s and changes nothing', async (_, action, slot, options, exit) => {
    const before = await keyring()
    await expect(key(action, slot, options)).rejects.toMatchObject({ exit })
    expect(await keyring()).toBe(before)
  })

  test('refuses another typed name', async () => {
    await key('add', undefined, { new: 'command:printf second' })
    await expect(key('remove', '1', { confirm: 'other' })).rejects.toMatchObject({ exit: Exit.usage })
    expect(await opens('second')).toBe(true)
  })
})
