import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { Exit, Fault } from '../../../src/fault.ts'
import { findProfile, listProfiles, openProfile } from '../../../src/profile/find.ts'

const scratch = mkdtempSync(join(tmpdir(), 'cloudvault-find-'))
const home = join(scratch, 'anna')
const own = join(home, '.config', 'cloudvault')
const systemDir = join(scratch, 'etc')
const passwd = join(scratch, 'passwd')
const text = readFileSync('profiles/two-servers.yaml', 'utf8')
const other = { uid: 1000, systemDir, passwd }
const env = { HOME: home }

const put = (directory: string, name: string, content = text): string => {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, name), content, { mode: 0o600 })
  return join(directory, name)
}

beforeEach(() => {
  rmSync(own, { recursive: true, force: true })
  rmSync(systemDir, { recursive: true, force: true })
  mkdirSync(home, { recursive: true })
  writeFileSync(passwd, `root:x:0:0::/root:/bin/sh\nanna:x:1000:1000::${home}:/bin/sh\n`)
})
afterAll(() => rmSync(scratch, { recursive: true }))

const faultOf = async (promise: Promise<unknown>): Promise<Fault> => {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(Fault)
  expect((error as Fault).exit).toBe(Exit.usage)
  return error as Fault
}

describe('finding a profile', () => {
  it('takes a path as it is', async () => {
    for (const path of ['./photos', '/x/y', 'photos.yaml', 'photos.yml', 'profiles/single.yaml'])
      expect(await findProfile(path, env, other)).toEqual({ path: resolve(path), warnings: [] })
  })

  it('looks in the own directory, then in the system one, and names the second hit', async () => {
    const system = put(systemDir, 'photos.yaml')
    expect((await findProfile('photos', env, other)).path).toBe(system)
    const mine = put(own, 'photos.yaml')
    const found = await findProfile('photos', env, other)
    expect(found.path).toBe(mine)
    expect(found.warnings).toEqual([`${system} is not used: ${mine} is found first`])
  })

  it('obeys XDG_CONFIG_HOME and $CLOUDVAULT_PROFILE', async () => {
    const xdg = put(join(scratch, 'xdg', 'cloudvault'), 'photos.yaml')
    const withXdg = { ...env, XDG_CONFIG_HOME: join(scratch, 'xdg') }
    expect((await findProfile('photos', withXdg, other)).path).toBe(xdg)
    const explicit = put(scratch, 'mine.yaml')
    const found = await findProfile('photos', { ...withXdg, CLOUDVAULT_PROFILE: explicit }, other)
    expect(found.path).toBe(explicit)
    expect(found.warnings).toHaveLength(1)
  })

  it('under sudo looks in the home of the user behind it', async () => {
    const mine = put(own, 'photos.yaml')
    const sudo = { HOME: '/root', XDG_CONFIG_HOME: '/root/.config', SUDO_USER: 'anna', SUDO_UID: '1000' }
    expect((await findProfile('photos', sudo, { ...other, uid: 0 })).path).toBe(mine)
    // Not root: somebody merely set the variable.
    await faultOf(findProfile('photos', { ...sudo, XDG_CONFIG_HOME: '/nowhere' }, other))
  })

  it('says which vaults are known when there is none of that name', async () => {
    put(own, 'photos.yaml')
    put(systemDir, 'music.yaml')
    const fault = await faultOf(findProfile('photo', env, other))
    expect(fault.message).toContain('no profile for photo; did you mean photos?')
    expect(fault.details.stands).toContain('known vaults: photos, music')
    expect(fault.details.next).toContain('cloudvault init photo ')
  })

  it('refuses what is neither a name nor a path (D3 #45: globs)', async () => {
    for (const bad of ['*', 'a b', '', '..', '-rf', 'Photos'])
      expect((await faultOf(findProfile(bad, env, other))).message).toContain('neither')
  })
})

it('lists what is known, and what is shadowed', async () => {
  const [mine, system] = [put(own, 'photos.yaml'), put(systemDir, 'photos.yaml')]
  put(own, 'Not a vault.yaml')
  put(own, 'notes.txt')
  expect(await listProfiles(env, other)).toEqual([
    { name: 'photos', path: mine, shadowed: false },
    { name: 'photos', path: system, shadowed: true },
  ])
  expect(await listProfiles({}, { ...other, systemDir: '/nowhere' })).toEqual([])
})

describe('opening', () => {
  it('gives the profile, its text and all warnings as lines', async () => {
    put(systemDir, 'photos.yaml')
    put(own, 'photos.yaml', text.replace('checksum: blake2', 'checksum: crc32c'))
    const opened = await openProfile('photos', env, other)
    expect(opened.profile.vault).toBe('photos')
    expect(opened.text).toContain('crc32c')
    expect(opened.warnings).toHaveLength(2)
    expect(opened.warnings[1]).toMatch(/photos\.yaml:19:13: filesystem\.checksum: crc32c can be forged/)
  })
  it('refuses a file that describes another vault', async () => {
    put(own, 'music.yaml')
    expect((await faultOf(openProfile('music', env, other))).message).toContain(
      'describes the vault photos, not music',
    )
  })
})
