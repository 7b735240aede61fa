import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bundling } from '../../../scripts/bundling.mjs'
import { loadProfile } from '../../../src/profile/load.ts'
import { keys, type Pty, startPty } from '../support/pty.ts'

const { enter, down, ctrlC, ctrlD } = keys
const key = (letter: string) => `SHA256:${letter.repeat(42)}A`

let bundleDir = ''
let home = ''
let pty: Pty

beforeAll(async () => {
  bundleDir = await mkdtemp(join(tmpdir(), 'cv-pty-'))
  await build({
    entryPoints: [new URL('../support/init-driver.ts', import.meta.url).pathname],
    outfile: join(bundleDir, 'driver.mjs'),
    ...bundling,
    external: ['ssh2', 'koffi'], // only real servers need them
  })
}, 60_000)
afterAll(() => rm(bundleDir, { recursive: true, force: true }))

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cv-home-'))
})
afterEach(async () => {
  pty.close()
  await rm(home, { recursive: true, force: true })
})

const start = (...words: string[]): Pty => {
  pty = startPty([process.execPath, join(bundleDir, 'driver.mjs'), ...words].join(' '), {
    HOME: home,
    XDG_CONFIG_HOME: join(home, 'config'),
  })
  return pty
}

const profilePath = () => join(home, 'config', 'cloudvault', 'photos.yaml')

describe('the wizard on a terminal', { timeout: 60_000 }, () => {
  it('asks, checks every answer as it comes, pins host keys and writes a profile that loads', async () => {
    start('init')
    await pty.answers('Name of the vault:', `Photos${enter}`)
    await pty.answers('a vault is 1 to 24 of a-z, 0-9 and -', `${'\u007f'.repeat(6)}photos${enter}`)
    await pty.answers('First server', `nowhere${enter}`)
    await pty.sees('nowhere: nothing answers at nowhere')
    await pty.answers('First server', `vps-fsn${enter}`)
    await pty.sees('vps-fsn: Debian GNU/Linux 12 (bookworm), root, 50 GiB free')
    await pty.sees(`host key ${key('a')}, as in your known_hosts; pinned`)
    await pty.answers('Short name for it: (fsn)', enter)
    await pty.answers('Who runs it', `hetzner${enter}`)

    await pty.answers('Server 2 (a mirror needs two)', `fsn-again${enter}`)
    await pty.sees('fsn-again is the same machine as fsn: that is no mirror')
    await pty.answers('Server 2', `anna@vps-hel${enter}`)
    await pty.sees('anna is not root there and may not sudo without a password')
    await pty.answers('Server 2', `vps-gra${enter}`)
    await pty.sees('vps-gra shows a host key this machine has never seen:')
    await pty.sees(`${key('b')} (ssh-ed25519)`)
    await pty.answers('Is it the same there?', enter)
    await pty.sees('its host key was not accepted')
    await pty.answers('Server 2', `vps-gra${enter}`)
    await pty.answers('Is it the same there?', `y${enter}`)
    await pty.answers('Short name for it: (gra)', enter)
    await pty.answers('Who runs it', `Hetzner${enter}`)
    await pty.answers('Is that intended?', enter)
    await pty.answers('Who runs it', `ovh${enter}`)
    await pty.answers('Server 3, or Enter for no more', enter)

    await pty.answers('Size of the disk on each server: (4GiB)', `20GiB${enter}`)
    await pty.answers(
      'gra has 8 GiB free, and the disk of 20GiB is allocated in full',
      `${'\u007f'.repeat(5)}5GB${enter}`,
    )
    await pty.answers('GB is ambiguous', `${'\u007f'.repeat(3)}5GiB${enter}`)
    await pty.answers('How many copies?', enter)
    await pty.answers('Where does the passphrase come from?', `${down}${down}${enter}`)
    await pty.answers('Program and its arguments:', `pass show vaults/photos${enter}`)
    await pty.answers('Where does it appear on this machine? (/vault/photos)', `/etc/x${enter}`)
    await pty.answers('lies in /etc', `${'\u007f'.repeat(6)}/vault/photos${enter}`)
    await pty.sees(`wrote ${profilePath()}`)
    await pty.sees('the same without questions: cloudvault init photos --member name=fsn,ssh=vps-fsn')
    await pty.answers('Provision the servers now?', enter)
    await pty.sees('next: cloudvault provision photos')
    expect(await pty.exit()).toBe(0)

    const { profile, warnings } = await loadProfile(profilePath())
    expect(warnings).toEqual([])
    expect(profile).toMatchObject({
      vault: 'photos',
      mount: { at: '/vault/photos' },
      filesystem: { redundancy: 'raid1', assured: 'raid1' },
      unlock: { passphrase: { kind: 'command', argv: ['pass', 'show', 'vaults/photos'] } },
      allowSameProvider: false,
      members: [
        {
          name: 'fsn',
          provider: 'hetzner',
          ssh: 'vps-fsn',
          hostKey: key('a'),
          disk: { sizeBytes: 5 * 2 ** 30 },
        },
        { name: 'gra', provider: 'ovh', ssh: 'vps-gra', hostKey: key('b'), disk: { sizeBytes: 5 * 2 ** 30 } },
      ],
    })
    expect((await stat(profilePath())).mode & 0o777).toBe(0o600)
  })

  it('goes on to provision when told so, and one server is enough', async () => {
    start('init', 'photos')
    await pty.answers('First server', `vps-fsn${enter}`)
    await pty.answers('Short name', enter)
    await pty.answers('Who runs it', `hetzner${enter}`)
    await pty.answers('Server 2', enter)
    await pty.answers('Size of the disk: (25GiB)', enter)
    await pty.sees('one server: encrypted, but without a mirror')
    await pty.answers('passphrase come from?', enter)
    await pty.answers('Where does it appear', enter)
    await pty.answers('Provision the servers now?', `y${enter}`)
    await pty.sees(`provisioning ${profilePath()}`)
    expect(await pty.exit()).toBe(0)
    expect((await loadProfile(profilePath())).profile.filesystem.redundancy).toBe('single')
  })

  it('never overwrites: an existing profile ends it before the first question', async () => {
    await mkdir(join(home, 'config', 'cloudvault'), { recursive: true })
    await writeFile(profilePath(), 'precious')
    start('init', 'photos')
    expect(await pty.exit()).toBe(2)
    expect(pty.screen).toContain('exists already')
    expect(pty.screen).not.toContain('First server')
    expect(await readFile(profilePath(), 'utf8')).toBe('precious')
  })

  it('Ctrl-C at a question leaves with 130 and writes nothing', async () => {
    start('init', 'photos')
    await pty.answers('First server', `vps-fsn${enter}`)
    await pty.answers('Short name', ctrlC)
    expect(await pty.exit()).toBe(130)
    expect(pty.screen).toContain('stopped at a question')
    await expect(stat(profilePath())).rejects.toThrow('ENOENT')
  })
})

describe('single questions on a terminal', { timeout: 60_000 }, () => {
  it('a passphrase is not shown, not even its length, and no key reveals it', async () => {
    start('password')
    await pty.answers('Passphrase:', 'hunter2')
    await pty.answers('', `\u0014${enter}`)
    expect(await pty.exit()).toBe(0)
    expect(pty.screen).toContain('7 bytes, shown as [secret]')
    expect(pty.raw).not.toContain('hunter')
    expect(pty.raw).not.toContain('*******')
  })

  it('a new passphrase is typed twice, and two different ones are asked for again', async () => {
    start('new-password')
    await pty.answers('Passphrase:', `short${enter}`)
    await pty.answers('at least 8 characters', `${'\u007f'.repeat(5)}long enough${enter}`)
    await pty.answers('the same once more', `long enougg${enter}`)
    await pty.sees('these were two different ones')
    await pty.answers('Passphrase:', `pässwörter${enter}`)
    await pty.answers('the same once more', `pässwörter${enter}`)
    expect(await pty.exit()).toBe(0)
    expect(pty.screen).toContain(Buffer.from('pässwörter').toString('base64'))
    expect(pty.raw).not.toContain('enough')
  })

  it('gives up after three pairs of different passphrases', async () => {
    start('new-password')
    for (const letter of ['a', 'b', 'c']) {
      await pty.answers('Passphrase:', `${letter.repeat(8)}${enter}`)
      await pty.answers('the same once more', `other${enter}`)
    }
    expect(await pty.exit()).toBe(9)
  })

  it('the typed name is the whole name', async () => {
    start('name')
    await pty.answers('Type the name of the vault', `y${enter}`)
    await pty.answers('this is not "photos"', `${'\u007f'}photos${enter}`)
    expect(await pty.exit()).toBe(0)
    expect(pty.screen).toContain('destroyed')
  })

  it.each(['name', 'busy'])('Ctrl-D ends %s with 130, not with a hanging process or exit 13', async (act) => {
    start(act)
    await pty.answers('Type the name of the vault', ctrlD)
    const pressed = Date.now()
    expect(await pty.exit()).toBe(130)
    expect(Date.now() - pressed).toBeLessThan(15_000) // the handle of `busy` would keep it for 30 s
    expect(pty.screen).not.toContain('destroyed')
  })
})

describe('without a terminal', () => {
  it('asks nothing and names what is missing', async () => {
    pty = startPty(`${process.execPath} ${join(bundleDir, 'driver.mjs')} init photos </dev/null`, {
      HOME: home,
    })
    expect(await pty.exit()).toBe(2)
    expect(pty.screen).toContain('--at DIR')
    expect(pty.screen).toContain('--passphrase prompt')
  }, 60_000)
})
