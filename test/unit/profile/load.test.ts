import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { callerOf, distrust } from '../../../src/profile/caller.ts'
import { ProfileFaults } from '../../../src/profile/faults.ts'
import { loadProfile, parseProfile } from '../../../src/profile/load.ts'

const scratch = mkdtempSync(join(tmpdir(), 'cloudvault-load-'))
afterAll(() => rmSync(scratch, { recursive: true }))

const text = readFileSync('profiles/two-servers.yaml', 'utf8')
const user = callerOf({}, { uid: 1000 })
let serial = 0

const put = (content: string | Uint8Array): string => {
  const path = join(scratch, `${serial++}.yaml`)
  writeFileSync(path, content, { mode: 0o600 })
  return path
}

const refusal = async (path: string, caller = user): Promise<string> => {
  const error = await loadProfile(path, caller).then(
    () => null,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(ProfileFaults)
  return (error as ProfileFaults).message
}

describe('loading', () => {
  it('makes the checked shape, with defaults', async () => {
    const path = put(`version: 1
vault: photos
mount: { at: /vault/photos, owner: anna }
unlock: { kdf: { algorithm: argon2id, memory: 1GiB, iterations: 4, threads: 2 } }
members:
  - { name: fsn, provider: a, ssh: vps-fsn, disk: { file: /srv/a, size: 1.5GiB }, link: plain, firewall: ufw, patience: 2m }
  - { name: gra, provider: b, ssh: vps-gra, disk: { device: /dev/disk/by-id/x }, server: nbdkit }
`)
    const { profile } = await loadProfile(path, user)
    expect(profile).toEqual({
      path,
      version: 1,
      vault: 'photos',
      mount: { at: '/vault/photos', owner: 'anna' },
      filesystem: { redundancy: 'raid1', assured: 'raid1', checksum: 'blake2', compress: 'zstd:3' },
      unlock: {
        passphrase: { kind: 'prompt' },
        kdf: { algorithm: 'argon2id', memoryBytes: 1024 ** 3, iterations: 4, threads: 2 },
      },
      allowSameProvider: false,
      members: [
        {
          kind: 'server',
          name: 'fsn',
          provider: 'a',
          ssh: 'vps-fsn',
          disk: { kind: 'file', path: '/srv/a', sizeBytes: 1_610_612_736 },
          server: 'nbd-server',
          link: { kind: 'plain', port: 10809, clients: [] },
          firewall: 'ufw',
          patienceMs: 120_000,
        },
        {
          kind: 'server',
          name: 'gra',
          provider: 'b',
          ssh: 'vps-gra',
          disk: { kind: 'device', path: '/dev/disk/by-id/x' },
          server: 'nbdkit',
          link: { kind: 'ssh' },
          patienceMs: 30_000,
        },
      ],
    })
  })

  it('gives a vault without mirrors more patience', () => {
    const { profile } = parseProfile(
      'version: 1\nvault: a\nmount: { at: /vault/a }\nmembers:\n  - { name: x, provider: p, ssh: h, disk: { file: /srv/a, size: 1G } }\n',
      'a.yaml',
    )
    expect(profile.filesystem.redundancy).toBe('single')
    expect(profile.members[0]?.patienceMs).toBe(300_000)
  })

  it('accepts a byte order mark and Windows line ends, and counts columns without the mark', async () => {
    const windows = `\uFEFF${text.replaceAll('\n', '\r\n')}`
    expect((await loadProfile(put(windows), user)).profile.vault).toBe('photos')
    expect(await refusal(put('\uFEFFversion: 2\r\n'))).toContain('.yaml:1:10: version')
    expect(await refusal(put('\uFEFFversion: 1\r\nvault: X\r\n'))).toContain('.yaml:2:8: vault')
  })

  it('keeps warnings apart', () => {
    const warned = text
      .replace('checksum: blake2', 'checksum: crc32c')
      .replace('size: 10GiB', 'size: 20GiB')
      .replace('patience: 30s', 'patience: 2s')
      .replace('{ prompt: true }', '{ prompt: true }\n  kdf: { algorithm: pbkdf2, iterations: 1000 }')
    const { warnings } = parseProfile(warned, 'a.yaml')
    expect(warnings.map(({ path }) => path)).toEqual([
      'filesystem.checksum',
      'unlock.kdf',
      'members[0].patience',
      'members[1].disk.size',
    ])
    expect(warnings.at(-1)?.message).toContain('fsn 20GiB, gra 10GiB')
  })

  it('warns of single over several members', () => {
    const { warnings } = parseProfile(text.replace('mirror: raid1 ', 'mirror: single '), 'a.yaml')
    expect(warnings[0]?.message).toContain('losing any one')
  })

  it('reports every fault of a file at once, in order', () => {
    const bad = text
      .replace('vault: photos', 'vault: Photos')
      .replace('at: /vault/photos', 'at: /etc')
      .replace('provider: ovh', 'provider: hetzner')
      .replace('ssh: vps-gra', 'ssh: -x')
    expect(() => parseProfile(bad, 'a.yaml')).toThrow(
      /4 faults:\na\.yaml:11:8: vault.*\n.*\n.*\na\.yaml:14:7: mount\.at.*\n.*\n.*\na\.yaml:38:15: members\[1\]\.provider.*\n.*\n.*\na\.yaml:39:10: members\[1\]\.ssh/,
    )
  })
})

describe('files that are none', () => {
  it.each([
    ['a directory', () => scratch],
    ['a device', () => '/dev/zero'],
    ['a device', () => '/dev/null'],
    [
      'a FIFO',
      () => {
        const path = join(scratch, 'fifo.yaml')
        execFileSync('mkfifo', [path], { timeout: 5000 })
        return path
      },
    ],
    ['larger than 1 MiB', () => put('#'.repeat(1024 * 1024 + 1))],
    ['no such file', () => join(scratch, 'missing.yaml')],
    ['not a directory', () => join(put(''), 'x.yaml')],
    [
      'leads to itself',
      () => {
        const path = join(scratch, 'loop.yaml')
        symlinkSync(path, path)
        return path
      },
    ],
    ['cannot be read', () => 'nul\0.yaml'],
  ] satisfies [string, () => string][])('%s', async (words: string, path: () => string) => {
    expect(await refusal(path())).toContain(words)
  })

  it('broken UTF-8 has a place', async () => {
    const bytes = Buffer.concat([Buffer.from('version: 1\nvault: é'), Buffer.from([0xff]), Buffer.from('\n')])
    expect(await refusal(put(bytes))).toMatch(/\.yaml:2:9: is not UTF-8 from here on/)
    const cut = Buffer.from('vault: é').subarray(0, -1)
    expect(await refusal(put(cut))).toMatch(/\.yaml:1:8: is not UTF-8/)
    expect(await refusal(put(Buffer.from([0x61, 0xc3, 0x28])))).toMatch(/\.yaml:1:2: is not UTF-8/)
  })
})

describe('profiles made to hurt', () => {
  const million = 1_000_000
  const lol = Array.from({ length: 30 }, (_, i) => `a${i}: &a${i} [${`*a${i - 1}, `.repeat(i && 9)}x]`).join(
    '\n',
  )
  it.each([
    ['open brackets', '['.repeat(million)],
    ['open maps', '{a: '.repeat(200_000)],
    ['dashes', '- '.repeat(500_000)],
    ['question marks', '? '.repeat(500_000)],
    ['lines', '\n'.repeat(million)],
    ['comments', '#\n'.repeat(500_000)],
    ['keys', 'a:\n'.repeat(300_000)],
    ['anchors', '&a '.repeat(300_000)],
    ['documents', '---\n'.repeat(200_000)],
    ['stairs', Array.from({ length: 1300 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
    ['quotes', '"'.repeat(million)],
    ['commas', `a: [${','.repeat(million)}]`],
    ['billion laughs', lol],
    ['one key', 'a'.repeat(million)],
    ['many members', `version: 1\nmembers:\n${'  - {}\n'.repeat(4000)}`],
  ])(
    '%s: refused, and soon',
    (_, hostile) => {
      const start = performance.now()
      expect(() => parseProfile(hostile, 'a.yaml')).toThrow(ProfileFaults)
      // Generous for a busy machine; without the bounds these take from seconds to a crash of the whole process.
      expect(performance.now() - start).toBeLessThan(20_000)
    },
    20_000,
  )
})

describe('as root', () => {
  const root = { uid: 0, env: { SUDO_UID: '1000', SUDO_GID: '1000' } }
  const stats = (uid: number, gid: number, mode: number) => ({ uid, gid, mode: 0o100000 | mode })

  it('trusts root and the user behind sudo', () => {
    expect(distrust(stats(0, 0, 0o644), root)).toBeNull()
    expect(distrust(stats(0, 0, 0o664), root)).toBeNull()
    expect(distrust(stats(1000, 1000, 0o664), root)).toBeNull()
  })
  it('refuses a third user, and what others can write', () => {
    expect(distrust(stats(1001, 1001, 0o600), root)).toContain('belongs to user 1001')
    expect(distrust(stats(0, 0, 0o646), root)).toContain('by everybody')
    expect(distrust(stats(0, 50, 0o664), root)).toContain('by group 50')
    expect(distrust(stats(1000, 1000, 0o600), { uid: 0, env: {} })).toContain('belongs to user 1000')
    expect(distrust(stats(1000, 1000, 0o600), { uid: 0, env: { SUDO_UID: '1000;' } })).toContain('1000')
  })
  it('does not ask a plain user', () => {
    expect(distrust(stats(1001, 1001, 0o666), { uid: 1000, env: {} })).toBeNull()
  })
  it('looks at the file that is really read', async () => {
    const path = put(text)
    chmodSync(path, 0o666)
    const owner = `${process.geteuid?.() ?? 0}`
    const caller = callerOf({ SUDO_UID: owner, SUDO_GID: '0' }, { uid: 0 })
    expect(await refusal(path, caller)).toContain('by everybody')
    chmodSync(path, 0o600)
    expect((await loadProfile(path, caller)).profile.vault).toBe('photos')
  })
})
