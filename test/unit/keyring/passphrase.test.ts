import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Exit } from '../../../src/fault.ts'
import { LocalHost } from '../../../src/host/local.ts'
import { Secret } from '../../../src/host/secret.ts'
import { passphraseFrom } from '../../../src/keyring/passphrase.ts'
import type { PassphraseSource } from '../../../src/profile/profile.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cv-pass-'))
})
afterEach(() => rm(folder, { recursive: true }))

const uid = process.getuid?.() ?? 0
const read = async (source: PassphraseSource, env: Record<string, string> = {}): Promise<string> => {
  const world = { local: new LocalHost(process.env), env, uid }
  const secret = await passphraseFrom(source, world, async () => new Secret(Buffer.from('typed')))
  return Buffer.from(secret.reveal()).toString()
}
const file = async (content: string, mode = 0o600): Promise<string> => {
  const path = join(folder, 'pass')
  await writeFile(path, content)
  await chmod(path, mode)
  return path
}

describe('a passphrase', () => {
  test('is asked for', async () => expect(await read({ kind: 'prompt' })).toBe('typed'))

  test.each([
    ['plain', 'plain'],
    ['one newline is cut\n', 'one newline is cut'],
    ['two\n\n', 'two\n'],
    ['\r\n', '\r'],
  ])('from a file: %j', async (content, wanted) => {
    expect(await read({ kind: 'file', path: await file(content) })).toBe(wanted)
  })

  test('from a file that others can read is refused with the command that closes it', async () => {
    const path = await file('x', 0o644)
    await expect(read({ kind: 'file', path })).rejects.toMatchObject({
      exit: Exit.secret,
      details: { next: `chmod 600 ${path}` },
    })
  })

  test('from a link, a folder, an empty or a missing file is refused', async () => {
    const path = await file('x')
    const link = join(folder, 'link')
    await symlink(path, link)
    for (const bad of [link, folder, join(folder, 'none')]) {
      await expect(read({ kind: 'file', path: bad })).rejects.toMatchObject({ exit: Exit.secret })
    }
    await expect(read({ kind: 'file', path: await file('') })).rejects.toMatchObject({ exit: Exit.secret })
  })

  test('from a command: its words are no shell line, its failure shows stderr and never stdout', async () => {
    expect(await read({ kind: 'command', argv: ['printf', '%s', 'a; echo b'] })).toBe('a; echo b')
    const failing = read({ kind: 'command', argv: ['sh', '-c', 'echo topsecret; echo locked >&2; exit 3'] })
    const error = await failing.catch((e) => e)
    expect(error).toMatchObject({ exit: Exit.secret, details: { detail: 'locked\n' } })
    expect(JSON.stringify(error) + error.stack).not.toContain('topsecret')
    await expect(read({ kind: 'command', argv: ['true'] })).rejects.toMatchObject({ exit: Exit.secret })
    await expect(read({ kind: 'command', argv: ['no-such-program'] })).rejects.toMatchObject({
      exit: Exit.secret,
    })
  })

  test('from a systemd credential', async () => {
    await writeFile(join(folder, 'cloudvault.photos'), 'sealed', { mode: 0o400 })
    const source = { kind: 'credential', name: 'cloudvault.photos' } as const
    expect(await read(source, { CREDENTIALS_DIRECTORY: folder })).toBe('sealed')
    await expect(read(source)).rejects.toMatchObject({ exit: Exit.secret })
  })
})
