import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { LocalHost } from '../../../src/host/local.ts'
import {
  farLinkFiles,
  linkFiles,
  linkKeysState,
  makeLinkKeys,
  readLinkKey,
} from '../../../src/keyring/link-keys.ts'
import type { Link } from '../../../src/profile/profile.ts'
import { vaultPaths } from '../../../src/record/paths.ts'
import { member } from '../support/site.ts'

/** The keys of the links, made with the real openssl. */

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cv-link-keys-'))
})
afterEach(async () => {
  vi.useRealTimers()
  await rm(root, { recursive: true })
})

const paths = () => vaultPaths('photos', { CLOUDVAULT_STATE: root })
const tls = (auth: 'psk' | 'x509'): Link => ({ kind: 'tls', port: 10809, clients: [], auth })
const make = (link: Link) => makeLinkKeys(new LocalHost(process.env), paths(), 'photos', member({ link }))
const state = (link: Link) => linkKeysState(paths(), member({ link }))
const file = (name: string): string => join(paths().linkKeys('fsn'), name)

test('a shared key: 256 random bits, new each time, for root alone, and whole only with all its files', async () => {
  expect(await state(tls('psk'))).toBe('missing')
  await make(tls('psk'))
  const first = await readFile(file('tls.psk'), 'utf8')
  expect(first).toMatch(/^cv-photos-fsn:[0-9a-f]{64}\n$/)
  expect((await stat(file('tls.psk'))).mode & 0o777).toBe(0o600)
  expect((await stat(paths().linkKeys('fsn'))).mode & 0o777).toBe(0o700)
  expect(await state(tls('psk'))).toBe('whole')
  await make(tls('psk'))
  expect(await readFile(file('tls.psk'), 'utf8')).not.toBe(first)
  expect(await readdir(join(root, 'photos/links'))).toEqual(['fsn'])
  await rm(file('nobody.pem'))
  expect(await state(tls('psk'))).toBe('missing')
})

test('certificates: each signed for one end alone, and the key of the authority is nowhere', async () => {
  await make(tls('x509'))
  expect(new Set(await readdir(paths().linkKeys('fsn')))).toEqual(new Set(linkFiles(tls('x509'))))
  const [authority, server, client] = await Promise.all(
    ['ca.pem', 'server.pem', 'client.pem'].map(
      async (name) => new X509Certificate(await readFile(file(name))),
    ),
  )
  if (!authority || !server || !client) throw new Error('three certificates')
  for (const end of [server, client]) {
    expect(end.verify(authority.publicKey)).toBe(true)
    expect(end.ca).toBe(false)
  }
  expect([server.keyUsage, client.keyUsage]).toEqual([['1.3.6.1.5.5.7.3.1'], ['1.3.6.1.5.5.7.3.2']])
  expect((await stat(file('client.key'))).mode & 0o777).toBe(0o600)
})

test('a certificate that is about to be too old counts as ending, and one of last year too', async () => {
  await make(tls('x509'))
  expect(await state(tls('x509'))).toBe('whole')
  vi.useFakeTimers({ now: Date.now() + 800 * 24 * 3600 * 1000, toFake: ['Date'] })
  expect(await state(tls('x509'))).toBe('ending')
})

test('a tunnel: keys as wg reads them, the two halves belong together', async () => {
  await make({ kind: 'wireguard', port: 51820 })
  const raw = async (name: string) => Buffer.from((await readFile(file(name), 'utf8')).trim(), 'base64')
  for (const end of ['server', 'client']) {
    const key = createPrivateKey({
      key: Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), await raw(`${end}.key`)]),
      format: 'der',
      type: 'pkcs8',
    })
    const own = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
    expect(own.equals(await raw(`${end}.pub`))).toBe(true)
  }
  expect(await raw('shared.key')).toHaveLength(32)
  expect(farLinkFiles({ kind: 'wireguard', port: 1 })).not.toContain('client.key')
})

test('the server gets its half alone; ssh has no keys at all', () => {
  expect(farLinkFiles(tls('x509'))).not.toContain('client.key')
  expect(linkFiles({ kind: 'ssh' })).toEqual([])
})

test('a machine without them is told where they are', async () => {
  await writeFile(join(root, 'x'), '')
  await expect(readLinkKey(paths(), 'fsn', 'tls.psk')).rejects.toMatchObject({
    exit: 3,
    details: { next: expect.stringContaining('restore-kit') },
  })
})
