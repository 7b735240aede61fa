import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { LabServer, Result } from '../../lab/index.ts'
import { program } from '../../src/cli/program.ts'
import { canary, labProfile, useLab, verb, volumeKey } from './support.ts'

/**
 * Secrets are where they belong and nowhere else. Every verb is run, failures included, while all processes are watched
 * on the client and on both servers; then everything that was seen, said and written is searched for the passphrases,
 * the keys and the shared key of a link. Which verbs there are, the program itself says: one that is not run here fails.
 * In the end gra's login user may run the session script as root, and nothing else.
 */
const lab = useLab({ servers: 2, init: 'systemd' })

const [changed, wrong, typed] = ['canary-changed-91ab44', 'canary-wrong-7720fe', 'canary-typed-c3d9e1']
const state = '/var/lib/cloudvault/photos'
const drivers = () => `${lab().client.repository}/test/lab/drivers`
/** Where secrets may be: what the person keeps them in, and what the test does. */
const allowed = ['/root/photos.pass', '/root/secrets/', '/root/watch']
const outputs: string[] = []
/** "up", "key rotate". */
const ran = new Set<string>()
const noteRun = ([word = '', action = '']: readonly string[]): void => {
  ran.add(word === 'key' ? `key ${action}` : word)
}
const needles = new Map<string, string>()

const sh = (script: string, input?: string): Promise<Result> =>
  lab().client.run(script, input === undefined ? {} : { input })
const passphrase = (text: string) => lab().client.putFile('/root/photos.pass', text, 0o600)

/** A verb, all that it said kept. */
const run = async (code: number, ...args: string[]): Promise<Result> => {
  const result = await verb(lab(), args, code)
  noteRun(args)
  outputs.push(result.stdout, result.stderr)
  return result
}

/** One whose exit code says nothing here. */
const runAnyhow = async (...args: string[]): Promise<void> => {
  const { stdout, stderr } = await lab().client.cloudvault(args)
  noteRun(args)
  outputs.push(stdout, stderr)
}

/** One that shows a secret once, on purpose: what it said is not kept. */
const runForSecret = async (...args: string[]): Promise<string> => {
  noteRun(args)
  return (await verb(lab(), args)).stdout
}

/** On both kinds of machine, from now on. */
const watch = async (): Promise<void> => {
  const driver = await readFile(path.join(import.meta.dirname, 'drivers/watch.pl'), 'utf8')
  const start =
    'cat > /root/watch.pl; rm -f /root/watch.stop; setsid perl /root/watch.pl /root/watch.seen /root/watch.stop </dev/null >/dev/null 2>&1 & for i in $(seq 100); do test -s /root/watch.seen && exit 0; sleep 0.2; done; exit 1'
  await sh(start, driver)
  for (const server of lab().servers) await server.run(start, { input: driver })
}

/** As text, raw, and in the ways in which bytes are printed. */
const secret = (name: string, bytes: Buffer): void => {
  const hex = bytes.toString('hex')
  const forms = {
    raw: bytes,
    hex: Buffer.from(hex),
    upper: Buffer.from(hex.toUpperCase()),
    base64: Buffer.from(bytes.toString('base64').slice(0, 40)),
    dump: Buffer.from(hex.slice(0, 32).replace(/(..)(?=.)/g, '$1 ')),
  }
  for (const [form, value] of Object.entries(forms)) needles.set(`${name}.${form}`, value.toString('hex'))
}

beforeAll(async () => {
  await watch()
  const disk = '    disk: { file: /srv/cloudvault/photos.img, size: 256MiB }\n    link: ssh'
  await labProfile(lab(), { size: '256MiB', changes: [['ssh: vps-gra', 'ssh: ops@vps-gra']] })
  const text = await lab().client.readFile('/etc/cloudvault/photos.yaml')
  await lab().client.putFile(
    '/etc/cloudvault/photos.yaml',
    text.replace(disk, disk.replace('link: ssh', 'link: tls')),
    0o600,
  )
}, 600_000)

describe('every verb', () => {
  test('before there is a vault', async () => {
    await run(0, 'check', 'photos')
    await run(0, 'schema')
    const server = 'name=fsn,ssh=vps-fsn,provider=hetzner,size=1GiB'
    await run(
      5, // its host key is not known
      'init',
      'other',
      '--member',
      server,
      '--at',
      '/vault/other',
      '--passphrase',
      'file:/root/photos.pass',
      '--print',
    )
    await runAnyhow('lab', 'status')
    await run(0, 'provision', 'photos')
    await runAnyhow('up', 'photos')
    await passphrase(canary)
    await sh('chmod 644 /root/photos.pass')
    await run(9, 'create', 'photos', '--confirm', 'photos')
    await sh('chmod 600 /root/photos.pass')
    await runAnyhow('create', 'photos', '--confirm', 'photos', '--dry-run')
    await run(0, 'create', 'photos', '--confirm', 'photos', '--json')
  }, 900_000)

  /** A newcomer that is provisioned, gets keys and joins, and one that leaves: both are in every turn of `key rotate`. */
  test('what changes members, sizes, the boot and all keys', async () => {
    await lab().client.putFile('/root/secrets/wrong', wrong, 0o600)
    await run(0, 'up', 'photos')
    await sh('echo secret > /vault/photos/file && sync -f /vault/photos')
    await keysNow('before', ['fsn', 'gra'])
    const nobody = 'name=hel,ssh=root@127.0.0.1:1,provider=nobody,size=256MiB'
    await run(4, 'add-mirror', 'photos', '--member', nobody, '--yes')
    await run(4, 'replace', 'photos', 'gra', '--with', nobody, '--yes')
    await run(0, 'remove-mirror', 'photos', 'gra', '--mirror', 'single', '--dry-run')
    await run(0, 'redundancy', 'photos', 'single', '--dry-run')
    await run(0, 'resize', 'photos', 'fsn', '300MiB', '--dry-run')
    await run(7, 'resume', 'photos')
    await run(7, 'cancel', 'photos')
    await run(6, 'unprovision', 'photos', 'gra', '--confirm', 'photos')
    await run(0, 'enable', 'photos')
    await run(0, 'disable', 'photos')
    const rotate = ['key', 'rotate', 'photos', '--reencrypt', '--confirm', 'photos']
    await run(9, ...rotate, '--passphrase', 'file:/root/secrets/wrong')
    await run(0, ...rotate)
    const sheet = await runForSecret('escrow', 'photos')
    secret('escrow', Buffer.from(/^key +(\S+)$/m.exec(sheet)?.[1] ?? 'no key in the sheet'))
    await lab().client.putFile('/root/secrets/sheet', sheet, 0o600)
    await run(0, 'restore-kit', '--sheet', '/root/secrets/sheet', '--dry-run')
    await run(0, 'down', 'photos')
  }, 1_200_000)

  test('a login user who may run the session script and nothing else is enough from now on', async () => {
    await lab()
      .server('gra')
      .run("echo 'ops ALL=(root) NOPASSWD: /usr/local/lib/cloudvault/session' > /etc/sudoers.d/ops")
    const refused = await run(3, 'provision', 'photos', 'gra2')
    expect(refused.stderr).toContain('may not use sudo without a password')
  })

  test('with it: refused, up, looked at, changed, down', async () => {
    await passphrase(wrong)
    await run(9, 'up', 'photos')
    await passphrase(canary)
    await run(0, 'up', 'photos', '--dry-run')
    await run(0, 'up', 'photos')
    // Files and sockets are ours alone.
    expect
      .soft(
        (await sh(`find ${state} /run/cloudvault/photos /etc/cloudvault/photos.yaml ! -type l -perm /077`))
          .stdout,
      )
      .toBe('')
    await run(0, 'status', 'photos')
    await run(0, 'status', 'photos', '--json')
    await lab().client.putFile('/root/secrets/new', changed, 0o600)
    await run(0, 'key', 'list', 'photos')
    await run(
      9,
      'key',
      'change',
      'photos',
      '--passphrase',
      'file:/root/secrets/wrong',
      '--new',
      'file:/root/secrets/new',
    )
    await run(0, 'key', 'change', 'photos', '--new', 'file:/root/secrets/new')
    await passphrase(changed)
    const added = await runForSecret('key', 'add', 'photos', '--recovery', '--json')
    const recovery = JSON.parse(added).recovery as string
    expect(recovery.length).toBeGreaterThan(40)
    secret('recovery', Buffer.from(recovery))
    const slot = JSON.parse(added).slots.find(({ kind }: { kind: string }) => kind === 'recovery')
      .number as number
    await run(0, 'key', 'remove', 'photos', `${slot}`, '--confirm', 'photos')
    await run(0, 'kit', 'photos', '--to', '/root/usb')
    await run(0, 'scrub', 'photos')
    await runAnyhow('resilver', 'photos')
    await run(0, 'runbook', 'photos')
    await run(0, 'down', 'photos')
    await runAnyhow('restore-kit', '/root/usb/photos-recovery-kit.tar', '--dry-run')
    await sh(`mv ${state}/record.json /root/record.json`)
    await runAnyhow('discover', 'photos', '--confirm', 'photos')
  }, 1_200_000)

  test('typed on a terminal: nothing echoes it, and a crash at the prompt leaves no memory on the disk', async () => {
    const profile = await lab().client.readFile('/etc/cloudvault/photos.yaml')
    await lab().client.putFile(
      '/etc/cloudvault/photos.yaml',
      profile.replace(/passphrase: \{ file: .* \}/, 'passphrase: { prompt: true }'),
      0o600,
    )
    await sh('rm -f /core* /root/core*')
    const words = lab().client.cloudvaultArgv(['up', 'photos'])
    const prompt = async () => {
      const running = lab().client.start(['sh', '-c', 'ulimit -c unlimited; exec "$@"', 'sh', ...words], {
        tty: true,
      })
      await expect
        .poll(() => running.output().stdout, { timeout: 120_000, interval: 200 })
        .toContain('Passphrase of photos')
      return running
    }
    const mistyped = await prompt()
    mistyped.write(`${typed}\r`)
    const refused = await mistyped.wait()
    expect(refused.code).toBe(9)
    outputs.push(refused.stdout)
    const crashing = await prompt()
    crashing.write(typed)
    const pid = (await sh('pgrep -nf "[c]loudvault.js up photos"')).stdout.trim()
    expect(await sh(`grep 'Max core file size' /proc/${pid}/limits`)).toMatchObject({
      stdout: expect.stringMatching(/size +0 +0 /),
    })
    await sh(`kill -SEGV ${pid}`)
    outputs.push((await crashing.wait()).stdout)
    expect((await sh('ls /core* /root/core* 2>/dev/null; true')).stdout).toBe('')
    await lab().client.putFile('/etc/cloudvault/photos.yaml', profile, 0o600)
  }, 600_000)

  test('that there is', async () => {
    const refused = await run(2, 'key', 'nothing', 'photos')
    ran.delete('key nothing')
    const actions = /is not one of (.*)/.exec(refused.stderr)?.[1]?.split(', ') ?? []
    const all = program.commands.map((command) => command.name()).filter((name) => name !== 'key')
    // `up` starts it.
    if ((await sh("grep -aPc 'monitor\\x00/etc/cloudvault/photos.yaml' /root/watch.seen")).stdout !== '0\n')
      ran.add('monitor')
    expect(ran).toEqual(new Set([...all, ...actions.map((action) => `key ${action}`)]))
  })
})

/** The vault key, every volume key and the shared key of gra's link, as they are at this moment. */
const keysNow = async (when: string, members: readonly string[]): Promise<void> => {
  await sh('umask 077; mkdir -p /root/secrets')
  const key = await volumeKey(lab(), `${state}/keys.luks`, '/root/photos.pass')
  expect(key.length).toBe(64)
  await sh('umask 077; base64 -d > /root/secrets/vault.key', key.toString('base64'))
  secret(`vault-key-${when}`, key)
  for (const name of members)
    secret(
      `volume-key-${name}`,
      await volumeKey(lab(), `${state}/headers/${name}.luks`, '/root/secrets/vault.key'),
    )
  const file = `${state}/links/${members[1]}/tls.psk`
  const psk = /:([0-9a-f]{64})/.exec((await sh(`cat ${file}`)).stdout)?.[1] ?? ''
  expect(psk).not.toBe('')
  secret(`shared-key-${when}`, Buffer.from(psk, 'hex'))
}

/** All needles, as find-secrets.pl takes them. */
const needleText = (): string => [...needles].map(([name, hex]) => `${name} ${hex}\n`).join('')

const found = async (
  where: 'client' | LabServer,
  places: readonly string[],
  except: readonly string[],
): Promise<string[]> => {
  const words = [
    'perl',
    where === 'client' ? `${drivers()}/find-secrets.pl` : '/root/find.pl',
    '/root/watch.needles',
    ...places,
    '--',
    ...except,
  ]
  const result =
    where === 'client'
      ? await lab().client.run(words, { deadlineMs: 300_000 })
      : await where.run(words, { deadlineMs: 300_000 })
  return result.stdout.split('\n').filter((line) => line !== '')
}

/** Everything that anybody could have seen: files of both sides, what processes showed, what was printed. */
const leaks = async (): Promise<string[]> => {
  await sh('cat > /root/watch.needles', needleText())
  const program = await readFile(path.join(import.meta.dirname, 'drivers/find-secrets.pl'), 'utf8')
  const links = `${state}/links/`
  const client = await found(
    'client',
    ['/etc', '/root', '/run', '/tmp', '/var'],
    [...allowed, links, '/var/lib/apt', '/var/lib/dpkg'],
  )
  const servers = await Promise.all(
    lab().servers.map(async (server) => {
      await server.run('cat > /root/find.pl', { input: program })
      await server.run('cat > /root/watch.needles', { input: needleText() })
      const places = ['/etc', '/root', '/run', '/tmp', '/var', '/srv', '/home', '/usr/local']
      // Its half of the shared key is there, for root alone.
      const hits = await found(server, places, [
        '/root/watch',
        '/etc/cloudvault/cv-photos-gra2/',
        '/var/lib/apt',
        '/var/lib/dpkg',
        '/srv/apt',
      ])
      return hits.map((hit) => `${server.name}: ${hit}`)
    }),
  )
  const seen = await Promise.all([
    found('client', ['/root/watch.seen'], []),
    ...lab().servers.map((server) => found(server, ['/root/watch.seen'], [])),
  ])
  const said = [...needles].filter(([, hex]) =>
    outputs.some((text) => text.includes(Buffer.from(hex, 'hex').toString('latin1'))),
  )
  // The kit holds the link's keys: it opens a way to the ciphertext, and is kept like a key anyway.
  const elsewhere = client.filter((hit) => !/^shared-key.* in .*-recovery-kit\.tar$/.test(hit))
  return [...elsewhere, ...servers.flat(), ...seen.flat(), ...said.map(([name]) => `${name} was printed`)]
}

test('secrets are where they belong and nowhere else', async () => {
  await passphrase(changed)
  for (const [name, text] of Object.entries({ passphrase: canary, changed, wrong, typed }))
    secret(name, Buffer.from(text))
  await keysNow('now', ['fsn2', 'gra2'])
  await sh('touch /root/watch.stop; sleep 1')
  for (const server of lab().servers) await server.run('touch /root/watch.stop; sleep 1')
  const passes = Number(/passes (\d+)/.exec((await sh('tail -c 100 /root/watch.seen')).stdout)?.[1])
  expect(passes).toBeGreaterThan(200)
  expect(await leaks()).toEqual([])
}, 600_000)

test('and this search finds what it looks for', async () => {
  await watch()
  await sh(
    `sleep 1 & sh -c 'sleep 3; true' ${wrong} & PLANTED=${typed} sleep 3; wait; touch /root/watch.stop; sleep 1`,
  )
  await lab()
    .server('gra')
    .run('cat > /var/tmp/planted', {
      input: `x${[...needles].find(([name]) => name === 'vault-key-now.raw')?.[1]}`,
    })
  await lab()
    .server('fsn')
    .run('perl -e "print pack(q(H*), <STDIN>)" > /srv/cloudvault/planted', {
      input: needles.get('vault-key-now.raw') ?? '',
    })
  outputs.push(`the passphrase is ${canary}`)
  const hits = await leaks()
  for (const hit of [
    'gra: vault-key-now.hex in /var/tmp/planted',
    'fsn: vault-key-now.raw in /srv/cloudvault/planted',
    'passphrase.raw was printed',
    'wrong.raw in /root/watch.seen',
    'typed.raw in /root/watch.seen',
  ])
    expect(hits).toContain(hit)
}, 600_000)
