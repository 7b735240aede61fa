import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseMember, parsePassphrase } from '../../../src/cli/init/draft.ts'
import { mirrorChoices } from '../../../src/cli/init/interview.ts'
import { suggestedName } from '../../../src/cli/init/server-questions.ts'
import type { Reached, Unreached, WizardProbes } from '../../../src/cli/init/servers.ts'
import { bareVerb, type InitOptions, initVerb } from '../../../src/cli/init.ts'
import { Exit, Fault } from '../../../src/fault.ts'
import { loadProfile, parseProfile } from '../../../src/profile/load.ts'
import { type TestWorld, testWorld } from '../support/world.ts'

const key = (letter: string) => `SHA256:${letter.repeat(42)}A`
const GiB = 2 ** 30

const machine = (hostId: string, more: Partial<Reached> = {}): Reached => ({
  fingerprint: key(hostId),
  hostKeyType: 'ssh-ed25519',
  keyFrom: 'known_hosts',
  freeBytes: 50 * GiB,
  os: 'Debian GNU/Linux 12 (bookworm)',
  user: 'root',
  isRoot: true,
  canRoot: true,
  hostId,
  ...more,
})

/** Servers by SSH target; what is not in here does not answer. */
const probing = (servers: Record<string, Reached | Unreached>): WizardProbes & { asked: string[] } => {
  const asked: string[] = []
  return {
    asked,
    reach: async (target, { pin, acceptKey }) => {
      asked.push(target)
      const found = servers[target] ?? { error: `nothing answers at ${target}`, exit: Exit.unreachable }
      if ('error' in found) return found
      if (pin && pin !== found.fingerprint) return { error: 'another host key', exit: Exit.trust }
      if (!pin && found.keyFrom === 'person' && !(await acceptKey(found.fingerprint, found.hostKeyType))) {
        return { error: 'host key not accepted', exit: Exit.trust }
      }
      return found
    },
  }
}

const both = { 'vps-fsn': machine('a'), 'vps-gra': machine('b') }
const fsn = 'name=fsn,ssh=vps-fsn,provider=hetzner,size=10GiB'
const gra = 'name=gra,ssh=vps-gra,provider=ovh,size=10GiB'
const complete: InitOptions = { member: [fsn, gra], at: '/vault/photos', passphrase: 'prompt' }

let dir = ''
let world: TestWorld
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cv-init-'))
  world = testWorld({ env: { XDG_CONFIG_HOME: dir, HOME: dir } })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const written = () => join(dir, 'cloudvault', 'photos.yaml')

/** The fault a call ends with. */
const faultOf = async (promise: Promise<unknown>): Promise<Fault> => {
  const error = await promise.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  )
  if (!(error instanceof Fault)) throw error
  return error
}

describe('init with all answers in flags', () => {
  it('checks the servers, pins their keys and writes a profile of mode 0600', async () => {
    const probes = probing(both)
    expect(await initVerb(world, 'photos', complete, { probes })).toBe(Exit.ok)
    expect(new Set(probes.asked)).toEqual(new Set(['vps-fsn', 'vps-gra']))
    const { profile, warnings } = await loadProfile(written())
    expect(warnings).toEqual([])
    expect(profile.members.map(({ name, hostKey }) => [name, hostKey])).toEqual([
      ['fsn', key('a')],
      ['gra', key('b')],
    ])
    expect((await stat(written())).mode & 0o777).toBe(0o600)
    expect(world.stdout.text).toBe('')
    expect(world.stderr.text).toContain(`✔ wrote ${written()}\n`)
    expect(world.stderr.text).toContain('next: cloudvault provision photos\n')
  })

  it('prints a command that writes the very same profile', async () => {
    const many: InitOptions = {
      ...complete,
      member: [fsn, `${gra},server=nbdkit,link=plain:10810,patience=90s,file=/srv/other.img`],
      passphrase: 'command:["pass","show","it\'s mine"]',
      kdf: 'argon2id,memory=64MiB,iterations=4',
      owner: 'anna',
      mirror: 'single',
    }
    await initVerb(world, 'photos', { ...many, print: true }, { probes: probing(both) })
    const line = /without questions: cloudvault init (.*)$/m.exec(world.stderr.text)?.[1] ?? ''
    const again = testWorld({ env: { HOME: dir } })
    const words = [...line.matchAll(/'((?:[^']|'\\'')*)'|(\S+)/g)].map(
      ([, quoted, bare]) => quoted?.replaceAll(`'\\''`, `'`) ?? bare ?? '',
    )
    const following = (flag: string) => words.flatMap((word, i) => (words[i - 1] === flag ? [word] : []))
    const one = (flag: string) => following(flag)[0] ?? ''
    const options: InitOptions = {
      member: following('--member'),
      at: one('--at'),
      owner: one('--owner'),
      mirror: one('--mirror'),
      passphrase: one('--passphrase'),
      kdf: one('--kdf'),
      print: true,
      check: false,
    }
    await initVerb(again, words[0], options, { probes: probing({}) })
    expect(again.stdout.text).toBe(world.stdout.text)
    const { profile } = parseProfile(world.stdout.text, 'photos.yaml')
    expect(profile.unlock).toEqual({
      passphrase: { kind: 'command', argv: ['pass', 'show', "it's mine"] },
      kdf: { algorithm: 'argon2id', memoryBytes: 64 * 2 ** 20, iterations: 4 },
    })
    expect(profile.members[1]).toMatchObject({ link: { kind: 'plain', port: 10810 }, patienceMs: 90_000 })
  })

  it('--print writes nothing and puts the profile, nothing else, on stdout', async () => {
    await initVerb(world, 'photos', { ...complete, print: true }, { probes: probing(both) })
    expect(parseProfile(world.stdout.text, 'photos.yaml').profile.vault).toBe('photos')
    await expect(stat(written())).rejects.toThrow('ENOENT')
  })

  it('points editors to the schema where the program has one', async () => {
    const self = ['node', new URL('../../../bin/cloudvault.js', import.meta.url).pathname]
    await initVerb({ ...world, self }, 'photos', { ...complete, print: true }, { probes: probing(both) })
    const schema = new URL('../../../profiles/profile.schema.json', import.meta.url).pathname
    expect(world.stdout.text.split('\n')[0]).toBe(`# yaml-language-server: $schema=${schema}`)
    const elsewhere = testWorld({ env: { HOME: dir } })
    await initVerb(elsewhere, 'photos', { ...complete, print: true }, { probes: probing(both) })
    expect(elsewhere.stdout.text).not.toContain('$schema')
  })

  it('--json answers with one object', async () => {
    await initVerb(world, 'photos', { ...complete, json: true }, { probes: probing(both) })
    const answer = JSON.parse(world.stdout.text)
    expect(answer).toMatchObject({ schema: 'cloudvault.init/1', vault: 'photos', path: written() })
    expect(answer.command.slice(0, 3)).toEqual(['cloudvault', 'init', 'photos'])
    expect(world.stderr.text).toBe('')
  })

  it('--no-check contacts nobody and leaves the pin to provision', async () => {
    const probes = probing({})
    await initVerb(world, 'photos', { ...complete, check: false }, { probes })
    expect(probes.asked).toEqual([])
    expect(await readFile(written(), 'utf8')).toContain('# host_key: SHA256:…')
    expect((await loadProfile(written())).profile.members[0]?.hostKey).toBeUndefined()
  })

  it('--output says where, and next names that file', async () => {
    const output = join(dir, 'deep', 'er', 'x.yaml')
    await initVerb(world, 'photos', { ...complete, output }, { probes: probing(both) })
    expect((await loadProfile(output)).profile.vault).toBe('photos')
    expect(world.stderr.text).toContain(`next: cloudvault provision ${output}\n`)
  })
})

describe('init without a terminal', () => {
  it('names every missing answer by its flag, contacts nobody and writes nothing', async () => {
    const probes = probing(both)
    const member = ['name=fsn,ssh=vps-fsn', 'ssh=vps-gra,provider=ovh,size=1GiB']
    const fault = await faultOf(initVerb(world, undefined, { member }, { probes }))
    expect(fault.exit).toBe(Exit.usage)
    for (const part of [
      'NAME, the name of the vault',
      '--member of fsn: provider=…,size=…',
      '--member of number 2: name=…',
      '--at DIR',
      '--passphrase prompt',
    ]) {
      expect(fault.message).toContain(part)
    }
    expect(probes.asked).toEqual([])
  })

  it.each<[string, string, InitOptions, string[]]>([
    ['a bad name', 'Photos', complete, ['NAME: ']],
    ['a bad mount point', 'photos', { ...complete, at: '/etc/x' }, ['--at: ', 'lies in /etc']],
    ['an unknown mirror', 'photos', { ...complete, mirror: 'raid5' }, ['--mirror: ']],
    [
      'too few servers for a mirror',
      'photos',
      { ...complete, mirror: 'raid1c3' },
      ['--mirror: raid1c3 needs 3'],
    ],
    [
      'an ambiguous size',
      'photos',
      { ...complete, member: [`${fsn.replace('GiB', 'GB')}`, gra] },
      ['--member of fsn: size: ', 'ambiguous'],
    ],
    [
      'an option as a server',
      'photos',
      { ...complete, member: [fsn, gra.replace('vps-gra', '-oProxyCommand')] },
      ['--member of gra: ssh: '],
    ],
    [
      'a bad pin',
      'photos',
      { ...complete, member: [`${fsn},host-key=SHA256:short`, gra] },
      ['--member of fsn: host-key: '],
    ],
    [
      'one provider for both',
      'photos',
      { ...complete, member: [fsn, gra.replace('ovh', 'Hetzner')] },
      ['--member of gra: provider: ', 'both mirrors can be lost at once'],
    ],
    [
      'an unknown member key',
      'photos',
      { ...complete, member: [`${fsn},colour=red`] },
      ['"colour" is not one of'],
    ],
    ['a key said twice', 'photos', { ...complete, member: [`${fsn},name=x`] }, ['name is said twice']],
    [
      'a passphrase where its source belongs',
      'photos',
      { ...complete, passphrase: 'hunter2' },
      ['never the passphrase itself'],
    ],
    ['a weak kdf', 'photos', { ...complete, kdf: 'pbkdf2,iterations=1' }, ['--kdf: ']],
    ['an empty kdf value', 'photos', { ...complete, kdf: 'pbkdf2,iterations=' }, ['--kdf: ', 'KEY=VALUE']],
    [
      'two faults at once',
      'photos',
      { ...complete, at: 'x', mirror: 'raid5' },
      ['2 answers are wrong', '--at: ', '--mirror: '],
    ],
  ])('refuses %s with exit 2, in the words of the flag', async (_case, name, options, parts) => {
    const probes = probing(both)
    const fault = await faultOf(initVerb(world, name, options, { probes }))
    expect(fault.exit).toBe(Exit.usage)
    for (const part of parts) expect(fault.message).toContain(part)
    expect(fault.message).not.toContain('hunter2')
    expect(probes.asked).toEqual([])
    await expect(stat(join(dir, 'cloudvault'))).rejects.toThrow('ENOENT')
  })

  it('has no way to break out of the YAML it writes', async () => {
    const evil = [
      `photos\nmembers: []`,
      'photos # x',
      'photos: x',
      '"photos"',
      '\u2028photos',
      '*alias',
      '!tag',
      '{a: b}',
    ]
    for (const name of evil) {
      const fault = await faultOf(initVerb(world, name, complete, { probes: probing(both) }))
      expect(fault.message).toMatch(/^NAME: /)
    }
  })

  it('never overwrites, and says so before anybody is contacted', async () => {
    await initVerb(world, 'photos', { ...complete, check: false }, { probes: probing(both) })
    const before = await readFile(written(), 'utf8')
    const probes = probing(both)
    const fault = await faultOf(initVerb(world, 'photos', complete, { probes }))
    expect([fault.exit, fault.message]).toEqual([Exit.usage, expect.stringContaining('exists already')])
    expect(probes.asked).toEqual([])
    expect(await readFile(written(), 'utf8')).toBe(before)
  })

  it('does not overwrite a file that appears while the servers are looked at', async () => {
    const output = join(dir, 'x.yaml')
    const probes: WizardProbes = {
      reach: async (target) => {
        await writeFile(output, 'precious')
        return machine(target === 'vps-fsn' ? 'a' : 'b')
      },
    }
    const fault = await faultOf(initVerb(world, 'photos', { ...complete, output }, { probes }))
    expect(fault.message).toContain('exists already')
    expect(await readFile(output, 'utf8')).toBe('precious')
  })
})

describe('servers that will not do', () => {
  const run = (servers: Record<string, Reached | Unreached>, options = complete) =>
    initVerb(world, 'photos', options, { probes: probing(servers) })

  it('does not answer: exit 4, naming the member', async () => {
    const fault = await faultOf(run({ 'vps-fsn': machine('a') }))
    expect([fault.exit, fault.details.member]).toEqual([Exit.unreachable, 'gra'])
    expect(fault.details.stands).toBe('no profile was written')
  })

  it('both do not answer: both are said', async () => {
    const error = await run({}).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(AggregateError)
    expect((error as AggregateError).errors.map((fault: Fault) => fault.details.member)).toEqual([
      'fsn',
      'gra',
    ])
  })

  it('a host key nobody vouches for is never pinned without a person: exit 5', async () => {
    const fault = await faultOf(run({ ...both, 'vps-gra': machine('b', { keyFrom: 'person' }) }))
    expect([fault.exit, fault.details.member]).toEqual([Exit.trust, 'gra'])
  })

  it('a given host key that differs: exit 5', async () => {
    const options = { ...complete, member: [`${fsn},host-key=${key('c')}`, gra] }
    expect((await faultOf(run(both, options))).exit).toBe(Exit.trust)
  })

  it('one machine under two names', async () => {
    const servers = { 'vps-fsn': machine('a'), 'vps-gra': machine('a') }
    expect((await faultOf(run(servers))).message).toContain('is the same machine as fsn')
    expect(await run(servers, { ...complete, allowSameProvider: true })).toBe(Exit.ok)
  })

  it('too little room, counting what the system itself needs', async () => {
    const room = (freeBytes: number) => ({ ...both, 'vps-gra': machine('b', { freeBytes }) })
    expect((await faultOf(run(room(10 * GiB)))).message).toContain('gra has 10 GiB free')
    expect(await run(room(11 * GiB))).toBe(Exit.ok)
  })

  it('no way to become root', async () => {
    const servers = { ...both, 'vps-gra': machine('b', { user: 'anna', isRoot: false, canRoot: false }) }
    expect((await faultOf(run(servers))).message).toContain('anna is not root there')
  })
})

describe('an answers file', () => {
  const from = async (text: string, options: InitOptions = {}) => {
    const path = join(dir, 'answers.yaml')
    await writeFile(path, text)
    await initVerb(
      world,
      undefined,
      { from: path, print: true, check: false, ...options },
      { probes: probing({}) },
    )
    return parseProfile(world.stdout.text, 'x').profile
  }

  const yaml = [
    'vault: photos',
    'at: /vault/photos',
    'passphrase: file:/root/photos.pass',
    'member:',
    `  - ${fsn}`,
    '  - { name: gra, ssh: vps-gra, provider: ovh, size: 10GiB, link: plain }',
    '',
  ].join('\n')

  it('gives the same answers as flags', async () => {
    const profile = await from(yaml)
    expect(profile.unlock.passphrase).toEqual({ kind: 'file', path: '/root/photos.pass' })
    expect(profile.members.map(({ link }) => link.kind)).toEqual(['ssh', 'plain'])
  })

  it('may be JSON', async () => {
    const answers = {
      vault: 'photos',
      at: '/v/p',
      passphrase: 'prompt',
      member: [fsn, gra],
      mirror: 'single',
    }
    expect((await from(JSON.stringify(answers))).filesystem.redundancy).toBe('single')
  })

  it('gives way to flags, member by member', async () => {
    const profile = await from(yaml, { at: '/vault/other', member: ['name=gra,size=20GiB'] })
    expect(profile.mount.at).toBe('/vault/other')
    expect(
      profile.members.map(({ name, ssh, disk }) => [name, ssh, disk.kind === 'file' && disk.sizeBytes]),
    ).toEqual([
      ['fsn', 'vps-fsn', 10 * GiB],
      ['gra', 'vps-gra', 20 * GiB],
    ])
  })

  it.each([
    ['an unknown key', 'vault: photos\ncolour: red\n', 'colour: is not one of'],
    ['a number for a text', 'vault: photos\nat: 5\n', 'at: must be a text'],
    ['a list', '- 1\n', 'holds no answers'],
    ['nothing', '', 'holds no answers'],
    ['an alias', 'vault: &a photos\nat: *a\n', 'not allowed'],
    ['a bad member', 'member: [{ name: fsn, size: 10 }]\n', 'member[0]: size has no value'],
  ])('refuses %s', async (_case, text, part) => {
    const fault = await faultOf(from(text))
    expect([fault.exit, fault.message]).toEqual([Exit.usage, expect.stringContaining(part)])
  })

  it('that does not exist is a usage error', async () => {
    const fault = await faultOf(initVerb(world, 'x', { from: '/nonexistent' }, { probes: probing({}) }))
    expect(fault.exit).toBe(Exit.usage)
  })
})

describe('small answers', () => {
  it('reads passphrase sources', () => {
    expect(parsePassphrase('command:pass show x')).toEqual({
      value: { kind: 'command', argv: ['pass', 'show', 'x'] },
    })
    expect(parsePassphrase('command:["a b"]')).toEqual({ value: { kind: 'command', argv: ['a b'] } })
    expect(parsePassphrase('command:[1]')).toHaveProperty('fault')
    expect(parsePassphrase('credential:x')).toEqual({ value: { kind: 'credential', name: 'x' } })
    expect(parsePassphrase('file:')).toHaveProperty('fault')
  })

  it('keeps = inside a value', () => {
    expect(parseMember('name=a,host-key=SHA256:x=')).toEqual({
      value: { name: 'a', 'host-key': 'SHA256:x=' },
    })
  })

  it.each([
    ['vps-fsn', 'fsn'],
    ['root@vps-fsn.example.com:22', 'fsn'],
    ['gra', 'gra'],
    ['root@203.0.113.7', 'm1'],
    ['root@[2001:db8::1]', 'm1'],
    ['server', 'm1'],
    ['Waw-01.Cloud', 'waw'],
  ])('suggests a name for %s: %s', (ssh, name) => {
    expect(suggestedName({ members: [{ ssh }] }, 0)).toBe(name)
  })

  it('suggests no name twice', () => {
    expect(suggestedName({ members: [{ name: 'fsn' }, { ssh: 'vps-fsn' }] }, 1)).toBe('m2')
  })

  it('offers what the number of servers allows', () => {
    const offered = (count: number) => mirrorChoices(count).map(({ value }) => value)
    expect(offered(2)).toEqual(['raid1', 'single'])
    expect(offered(3)).toEqual(['raid1', 'raid1c3', 'single'])
    expect(offered(4)).toEqual(['raid1', 'raid1c3', 'raid1c4', 'raid10', 'single'])
  })
})

describe('cloudvault alone', () => {
  it('names the vaults there are, and asks nothing', async () => {
    await initVerb(world, 'photos', { ...complete, check: false }, { probes: probing({}) })
    const later = testWorld({ env: { XDG_CONFIG_HOME: dir, HOME: dir } })
    expect(await bareVerb(later, { probes: probing({}) })).toBe(Exit.ok)
    expect(later.stderr.text).toContain(`photos   ${written()}`)
    expect(later.stderr.text).toContain('next: cloudvault status photos')
  })
})
