import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { Exit, Fault } from '../../../src/fault.ts'
import { fenceSession } from '../../../src/server/fence.ts'
import {
  newNonce,
  releaseSession,
  SessionLost,
  showSession,
  takeCommand,
  takeSession,
  thisHolder,
} from '../../../src/server/session.ts'
import { scriptedHost } from '../support/scripted-host.ts'

const nonce = '0123456789abcdef0123456789abcdef'
const request = { vault: 'photos', member: 'fsn', holder: 'laptop/0a1b2c3d:photos', nonce }
const held = `boot b00t
held yes
holder laptop/0a1b2c3d:photos
nonce ${nonce}
since 2026-11-21T23:26:14Z
serving yes
socket /run/cloudvault/cv-photos-fsn/export.sock
`
const server = (output: { code?: number; stdout?: string; stderr?: string }) =>
  Object.assign(scriptedHost('fsn', [['/usr/local/lib/cloudvault/session', output]]), { user: 'ops' })

describe('take', () => {
  test('names id, holder, nonce and the login that may connect', () => {
    expect(takeCommand(request, 'ops').argv).toEqual([
      '/usr/local/lib/cloudvault/session',
      'take',
      'cv-photos-fsn',
      'laptop/0a1b2c3d:photos',
      nonce,
      'ops',
    ])
    expect(takeCommand({ ...request, takeOver: true }, 'ops').argv.at(-1)).toBe('--take-over')
    expect(takeCommand({ ...request, again: true }, 'ops').argv.at(-1)).toBe('--again')
  })

  test('gives back where it listens, and whether anything changed', async () => {
    const taken = await takeSession(server({ stdout: `${held}changed yes\n` }), request)
    const socket = '/run/cloudvault/cv-photos-fsn/export.sock'
    expect(taken).toEqual({ bootId: 'b00t', nonce, listens: { socket }, changed: true })
    const port = held.replace(/socket .*/, 'port 10809')
    expect(await takeSession(server({ stdout: `${port}changed no\n` }), request)).toMatchObject({
      listens: { port: 10809 },
      changed: false,
    })
  })

  test('held by another: exit 6 with holder and since', async () => {
    const refused = takeSession(server({ code: 6, stdout: held, stderr: 'held' }), request)
    await expect(refused).rejects.toMatchObject({ exit: 6, details: { member: 'fsn' } })
    await expect(refused).rejects.toThrow('held by laptop/0a1b2c3d:photos since 2026-11-21T23:26:14Z')
  })

  test.each([
    [3, 3],
    [126, 3],
    [4, 4],
    [1, 4],
  ])('script exit %i becomes exit %i', async (code, exit) => {
    await expect(takeSession(server({ code }), request)).rejects.toMatchObject({ exit })
  })

  test.each([
    '',
    'held yes\n',
    held.replace('serving yes', 'serving no'),
    held.replace(/socket .*/, 'socket /etc/passwd'),
  ])('an answer that makes no sense is exit 4: %j', async (stdout) => {
    await expect(takeSession(server({ stdout }), request)).rejects.toMatchObject({ exit: 4 })
  })
})

describe('show and release', () => {
  test('show tells who holds it', async () => {
    expect(await showSession(server({ stdout: held }), 'photos', 'fsn')).toEqual({
      held: true,
      holder: 'laptop/0a1b2c3d:photos',
      nonce,
      since: '2026-11-21T23:26:14Z',
      serving: true,
      bootId: 'b00t',
    })
    expect(await showSession(server({ stdout: 'boot b00t\nheld no\n' }), 'photos', 'fsn')).toEqual({
      held: false,
    })
  })

  test('release with a nonce that is no longer ours: exit 6', async () => {
    const refused = releaseSession(server({ code: 6, stdout: held }), 'photos', 'fsn', newNonce())
    await expect(refused).rejects.toMatchObject({ exit: 6 })
  })
})

describe('fence', () => {
  test('names the session it is for', async () => {
    const host = server({ stdout: held })
    await fenceSession(host, 'photos', 'fsn', nonce)
    expect(host.lines).toEqual([`/usr/local/lib/cloudvault/session fence cv-photos-fsn ${nonce}`])
  })

  test('another machine has it, now or meanwhile: lost, with its name', async () => {
    const other = 'boot b00t\nheld no\nother desktop/99999999:photos\nother-since 2026-11-22T01:00:00Z\n'
    const lost = fenceSession(server({ code: 6, stdout: other }), 'photos', 'fsn', nonce)
    await expect(lost).rejects.toBeInstanceOf(SessionLost)
    await expect(lost).rejects.toThrow('desktop/99999999:photos since 2026-11-22T01:00:00Z')
  })

  test.each([
    [7, 7, 'forgotten the session'],
    [5, 5, 'does not protect'],
    [4, 4, 'could not be fenced'],
  ])('script exit %i becomes exit %i', async (code, exit, words) => {
    const refused = fenceSession(server({ code }), 'photos', 'fsn', nonce)
    await expect(refused).rejects.toMatchObject({ exit })
    await expect(refused).rejects.toThrow(words)
  })
})

test('a server without the script: exit 3 and what to type', async () => {
  const run = () => Promise.reject(new Fault(Exit.missing, 'session is not installed on the server'))
  await expect(showSession({ name: 'fsn', run }, 'photos', 'fsn')).rejects.toMatchObject({
    exit: 3,
    details: { next: 'cloudvault provision photos fsn' },
  })
})

describe('names', () => {
  test('a nonce is 128 bits in hex and never the same', () => {
    expect(newNonce()).toMatch(/^[0-9a-f]{32}$/)
    expect(newNonce()).not.toBe(newNonce())
  })

  test('the holder fits the pattern the script insists on', async () => {
    expect(await thisHolder('photos')).toMatch(/^[A-Za-z0-9._-]{1,64}\/[0-9a-f]{8}:photos$/)
    expect(await thisHolder('photos')).toBe(await thisHolder('photos'))
  })
})

describe('session.sh itself', () => {
  const script = (...args: string[]) =>
    spawnSync('sh', ['src/server/session.sh', ...args], { encoding: 'utf8' })

  test.each([
    '',
    'x',
    '../../etc',
    'cv-photos-fsn/../../x',
    'cv-photos-fsn; reboot',
    'cv-photos-fsn\ncv-photos-gra',
    'cv-Photos-fsn',
    `cv-${'a'.repeat(30)}-b`,
    '$(id)',
    '.*',
  ])('refuses the id %j, exit 2', (id) => {
    expect(script('show', id)).toMatchObject({ status: 2, stdout: '' })
  })

  test('an id that is not provisioned here: exit 3', () => {
    expect(script('show', 'cv-nosuchvault-zz')).toMatchObject({ status: 3, stdout: '' })
  })
})
