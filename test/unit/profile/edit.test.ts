import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { Exit, Fault } from '../../../src/fault.ts'

import { addMember, removeMember, setMemberHostKey, setMemberSize } from '../../../src/profile/edit.ts'
import { setMirror } from '../../../src/profile/edit-mirror.ts'

import { ProfileFaults } from '../../../src/profile/faults.ts'
import { parseProfile } from '../../../src/profile/load.ts'
import { writeProfile } from '../../../src/profile/write.ts'

const text = readFileSync('profiles/two-servers.yaml', 'utf8')
const key = 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'
const otherKey = `SHA256:${'A'.repeat(43)}`
const hel = `- name: hel
  provider: upcloud
  ssh: vps-hel      # far north
  disk:
    file: /srv/cloudvault/photos.img
    size: 10GiB
`

/** Lines of `after` that are not in `before`, and the other way round, in order. */
const diff = (before: string, after: string) => {
  const [a, b] = [before.split('\n'), after.split('\n')]
  const start = a.findIndex((line, i) => line !== b[i])
  const from = start < 0 ? Math.min(a.length, b.length) : start
  let tail = 0
  while (tail < Math.min(a.length, b.length) - from && a.at(-1 - tail) === b.at(-1 - tail)) tail++
  return { gone: a.slice(from, a.length - tail), added: b.slice(from, b.length - tail) }
}

const hostKeys = (profile: string) =>
  parseProfile(profile, 'a.yaml').profile.members.map((member) => member.hostKey)

describe('another size', () => {
  it('changes the size where it stands, its comment included', () => {
    expect(diff(text, setMemberSize(text, 'fsn', 20 * 2 ** 30))).toEqual({
      gone: [
        '    disk: { file: /srv/cloudvault/photos.img, size: 10GiB }   # ← allocated in full; K, M, G are binary',
      ],
      added: [
        '    disk: { file: /srv/cloudvault/photos.img, size: 20GiB }   # ← allocated in full; K, M, G are binary',
      ],
    })
    const own = addMember(text, hel)
    expect(diff(own, setMemberSize(own, 'hel', 1536 * 2 ** 20)).added).toEqual(['      size: 1536MiB'])
  })
  it('is refused for a member without one', () => {
    const device = text.replace(/disk: \{ file.*\} {3}#.*/, 'disk: { device: /dev/vdb }')
    expect(() => setMemberSize(device, 'fsn', 2 ** 30)).toThrow('no member "fsn" with a disk')
    expect(() => setMemberSize(text, 'par', 2 ** 30)).toThrow(Fault)
  })
})

describe('pinning a host key', () => {
  it('adds one line and keeps every other', () => {
    const pinned = setMemberHostKey(text, 'gra', key)
    expect(diff(text, pinned)).toEqual({ gone: [], added: [`    host_key: ${key}`] })
    expect(hostKeys(pinned)).toEqual([undefined, key])
    const both = setMemberHostKey(pinned, 'fsn', otherKey)
    expect(hostKeys(both)).toEqual([otherKey, key])
    expect(both.split('\n').filter((line) => line.includes('#'))).toEqual(
      text.split('\n').filter((line) => line.includes('#')),
    )
  })
  it('replaces a pin where it stands, its comment included', () => {
    const pinned = text.replace('    link: ssh ', `    host_key: "${key}"   # mine\n    link: ssh `)
    expect(diff(pinned, setMemberHostKey(pinned, 'fsn', otherKey))).toEqual({
      gone: [`    host_key: "${key}"   # mine`],
      added: [`    host_key: ${otherKey}   # mine`],
    })
    expect(setMemberHostKey(pinned, 'fsn', key)).toBe(pinned.replace(`"${key}"`, key))
  })
  it('works in one-line members, with Windows line ends, a byte order mark, ssh first, and no newline at the end', () => {
    const head = 'version: 1\nvault: a\nmount: { at: /vault/a }\nallow_same_provider: true\nmembers:\n'
    const disk = (n: number) => `disk: { file: /srv/a${n}, size: 1G }`
    for (const form of [
      `${head}- { name: x, ssh: h, provider: p, ${disk(1)} }\n- { name: y, ssh: h, provider: p, ${disk(2)} }`,
      `${head}  - ssh: h # first\n    name: x\n    provider: p\n    ${disk(1)}\n  -   name: y\n      ${disk(2)}\n      provider: p\n      ssh: "h"`,
      `${head}  [ { name: x, ssh: h, provider: p, ${disk(1)} }, { ssh: "h", name: y, provider: p, ${disk(2)} } ]\n`,
    ])
      for (const variant of [form, form.replaceAll('\n', '\r\n'), `\uFEFF${form}`]) {
        const pinned = setMemberHostKey(setMemberHostKey(variant, 'y', key), 'x', otherKey)
        expect(hostKeys(pinned)).toEqual([otherKey, key])
        expect(/(^|[^\r])\n/.test(pinned)).toBe(!variant.includes('\r'))
      }
  })
  it('refuses an unknown member and a fingerprint that is none', () => {
    expect(() => setMemberHostKey(text, 'hel', key)).toThrow(/no member "hel"/)
    expect(() => setMemberHostKey(text, 'fsn', 'MD5:aa')).toThrow(/MD5/)
    expect(() => setMemberHostKey(text, 'fsn', `${key}\n    link: plain`)).toThrow(Fault)
  })
})

describe('adding a member', () => {
  const added = [
    '',
    '  - name: hel',
    ...hel
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => `  ${line}`),
  ]

  it('adds its lines after the last one and changes nothing else', () => {
    const result = addMember(text, hel)
    expect(diff(text, result)).toEqual({ gone: [], added: [...added.slice(1), ''] })
    expect(parseProfile(result, 'a.yaml').profile.members).toEqual([
      ...parseProfile(text, 'a.yaml').profile.members,
      expect.objectContaining({ name: 'hel', provider: 'upcloud', ssh: 'vps-hel' }),
    ])
  })
  it('takes the block with or without a dash, at any indentation', () => {
    for (const block of [
      hel.replace('- ', '  '),
      `\n${hel.replace(/^/gm, '      ')}`,
      hel.replaceAll('\n', '\r\n'),
      hel.replace('- ', '  ').replace(/^ {2}/gm, ''),
    ])
      expect(addMember(text, block)).toBe(addMember(text, hel))
  })
  it('goes before what follows the list, and after the comments of the last member', () => {
    const [head = '', members = ''] = text.split(/^(?=members:)/m)
    const moved = `${members.trimEnd()}   # slow\n    # bought in May\n\n# about the vault\n${head}`
    expect(diff(moved, addMember(moved, hel)).gone).toEqual([])
    const lines = addMember(moved, hel).split('\n')
    const at = lines.indexOf('  - name: hel')
    expect(lines[at - 2]).toBe('    # bought in May')
    expect(lines.slice(at + 6, at + 8)).toEqual(['', '# about the vault'])
  })
  it('follows a list without indentation, without blank lines, ended by a nested list, without a newline', () => {
    const tight = `version: 1
vault: a
mount: { at: /vault/a }
members:
- name: x
  provider: p
  ssh: h
  disk: { file: /srv/a, size: 10G }
  link:
    plain:
      clients:
        - 192.0.2.1`
    const result = addMember(tight, hel)
    expect(result.startsWith(`${tight}\n- name: hel\n  provider: upcloud\n`)).toBe(true)
    expect(parseProfile(result, 'a.yaml').profile.members[0]?.link).toEqual({
      kind: 'plain',
      port: 10809,
      clients: ['192.0.2.1'],
    })
  })
  it('refuses a member that does not fit', () => {
    expect(() => addMember(text, hel.replace('hel', 'fsn'))).toThrow(ProfileFaults)
    expect(() => addMember(text, hel.replace('10GiB', '10GB'))).toThrow(ProfileFaults)
    expect(() => addMember('version: 1\nmembers: [{ name: x }]\n', hel)).toThrow(/inside \[ \]/)
  })
})

describe('taking a member out', () => {
  it('is the way back from adding one', () => {
    expect(removeMember(addMember(text, hel), 'hel')).toBe(text)
  })
  it('takes its lines and the gap, and nothing else', () => {
    for (const [name, left] of [
      ['fsn', 'gra'],
      ['gra', 'fsn'],
    ] as const) {
      const alone = removeMember(setMirror(text, 'single'), name)
      expect(parseProfile(alone, 'a.yaml').profile.members.map((member) => member.name)).toEqual([left])
      expect(alone).not.toMatch(/\n\n\n/)
      const { added } = diff(setMirror(text, 'single'), alone)
      expect(added).toEqual([])
    }
  })
  it('refuses one that is not there, or whose going leaves too few', () => {
    expect(() => removeMember(text, 'hel')).toThrow(/no member/)
    expect(() => removeMember(text, 'gra')).toThrow(ProfileFaults)
  })
})

describe('how often everything is stored', () => {
  const mirrorOf = (profile: string) => parseProfile(profile, 'a.yaml').profile.filesystem.redundancy
  it('is changed where it stands, its comment kept', () => {
    const { gone, added } = diff(text, setMirror(text, 'single'))
    expect([gone.length, added.length]).toEqual([1, 1])
    expect(added[0]).toContain('# two copies')
    expect(mirrorOf(setMirror(text, 'single'))).toBe('single')
  })
  it('is added where nothing is said of it', () => {
    const others = text.replace(/^ {2}mirror:.*\n/m, '')
    const whole = text.replace(/^filesystem:[\s\S]*?\n(?=\nunlock)/m, '')
    const flow = text.replace(/^filesystem:[\s\S]*?\n(?=\nunlock)/m, 'filesystem: { checksum: blake2 }\n')
    const empty = text.replace(/^filesystem:[\s\S]*?\n(?=\nunlock)/m, 'filesystem: {}\n')
    for (const profile of [others, whole, flow, empty]) {
      expect(profile).not.toContain('mirror: raid1')
      expect(mirrorOf(setMirror(profile, 'single'))).toBe('single')
      expect(diff(profile, setMirror(profile, 'single')).gone.length).toBeLessThan(2)
    }
  })
})

describe('writing', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'cloudvault-write-'))
  afterAll(() => rmSync(scratch, { recursive: true }))

  it('replaces the file whole, keeps mode and link, leaves nothing beside it', async () => {
    const target = join(scratch, 'photos.yaml')
    const link = join(scratch, 'link.yaml')
    writeFileSync(target, text)
    chmodSync(target, 0o640)
    symlinkSync(target, link)
    await writeProfile(link, text, addMember(text, hel))
    expect(readFileSync(target, 'utf8')).toBe(addMember(text, hel))
    expect(statSync(target).mode & 0o7777).toBe(0o640)
    expect(lstatSync(link).isSymbolicLink()).toBe(true)
    expect(readdirSync(scratch).sort()).toEqual(['link.yaml', 'photos.yaml'])
  })

  it('leaves a file alone that somebody else changed', async () => {
    const target = join(scratch, 'theirs.yaml')
    writeFileSync(target, `${text}# theirs\n`)
    const error = await writeProfile(target, text, addMember(text, hel)).catch((thrown: unknown) => thrown)
    expect((error as Fault).exit).toBe(Exit.busy)
    expect(readFileSync(target, 'utf8')).toBe(`${text}# theirs\n`)
  })
})
