import { describe, expect, test } from 'vitest'
import type { Result } from '../../lab/index.ts'
import { shellLine } from '../../src/host/quote.ts'
import { memberId } from '../../src/names.ts'
import { newNonce, releaseCommand, showCommand, takeCommand } from '../../src/server/session.ts'
import { leftOnServer, useLab, verb, writeProfile } from './support.ts'

/**
 * The far side on real servers: a root login with nbd-server, an ordinary login with sudo and nbdkit. One story, in
 * order: keys pinned, set up, served, fenced, rebooted, taken away again without a trace.
 */
const lab = useLab({ servers: 2, bystander: true })

const size = 256 * 1024 * 1024
type Name = 'fsn' | 'gra'
const logins: Record<Name, string> = { fsn: 'root', gra: 'ops' }
const both: readonly Name[] = ['fsn', 'gra']

const members = (vault: string, link: (name: Name) => string): string => `version: 1
vault: ${vault}
mount: { at: /vault/${vault} }
unlock:
  passphrase: { prompt: true }
members:
  - name: fsn
    provider: hetzner
    ssh: root@vps-fsn        # kept: a comment
    disk: { file: /srv/cloudvault/${vault}.img, size: 256MiB }
${link('fsn')}
  - name: gra
    provider: ovh
    ssh: ops@vps-gra
    disk: { file: /srv/data/deep/${vault}.img, size: 256MiB }
    server: nbdkit
${link('gra')}
`
const photos = '/root/photos.yaml'

/** What stands on a server's disk: names, not what package managers and daemons keep for themselves. */
const files = async (name: Name): Promise<string[]> => {
  const own = ['/proc', '/sys', '/run', '/dev', '/tmp', '/var/tmp', '/var/log', '/var/cache', '/var/backups']
  const kept = ['/var/lib/apt', '/var/lib/dpkg', '/var/lib/ucf', '/var/lib/systemd', '/var/lib/private']
  const prune = [...own, ...kept].flatMap((path) => ['-path', path, '-o']).slice(0, -1)
  const found = await lab()
    .server(name)
    .run(['find', '/', '-xdev', '(', ...prune, ')', '-prune', '-o', '-print'])
  return found.stdout
    .split('\n')
    .filter((path) => path !== '' && !/^\/etc\/[a-z]+-$|ld\.so\.cache/.test(path))
    .sort()
}

const session = (name: Name, argv: readonly string[]): Promise<Result> => {
  const words = logins[name] === 'root' ? argv : ['sudo', '-n', ...argv]
  return lab().client.run(['ssh', `${logins[name]}@vps-${name}`, shellLine(words)], { allowFail: true })
}
const take = (
  name: Name,
  nonce: string,
  holder = 'laptop/0a1b2c3d:photos',
  takeOver = false,
  vault = 'photos',
) => session(name, takeCommand({ vault, member: name, holder, nonce, takeOver }, logins[name]).argv)
const release = (name: Name, nonce: string, vault = 'photos') =>
  session(name, releaseCommand(vault, name, nonce).argv)

/** What an export answers through `ssh -L`, as the login user may reach it. */
const ask = async (name: Name, nonce: string): Promise<unknown> => {
  const { client } = lab()
  const driver = `${client.repository}/test/lab/drivers/nbd-go.mjs`
  const remote = `/run/cloudvault/${memberId('photos', name)}/export.sock`
  const script = `rm -f /tmp/x.sock /tmp/x.ctl
    ssh -f -N -M -S /tmp/x.ctl -L /tmp/x.sock:${remote} ${logins[name]}@vps-${name} </dev/null >/dev/null 2>&1 || exit 1
    node ${driver} /tmp/x.sock ${nonce}; ssh -S /tmp/x.ctl -O exit x 2>/dev/null; true`
  return JSON.parse((await client.run(script)).stdout)
}

const before: Partial<Record<Name, string[]>> = {}

describe('host keys', () => {
  test('an unknown key without a terminal: exit 5, the fingerprint, the flag that accepts it', async () => {
    await lab().client.run(
      'for s in fsn gra; do ssh -o StrictHostKeyChecking=accept-new vps-$s true; done; mv /root/.ssh/known_hosts /root/',
    )
    await writeProfile(
      lab(),
      members('photos', () => ''),
      photos,
    )
    for (const name of both) before[name] = await files(name)
    const refused = await verb(lab(), ['provision', photos], 5)
    for (const name of both) {
      const key = lab().server(name).hostKeyFingerprint
      expect(refused.stderr).toContain(`--accept-host-key ${name}=${key}`)
      expect(await files(name)).toEqual(before[name])
    }
  })

  test('a wrong key is refused, exit 5, with both fingerprints', async () => {
    const wrong = `SHA256:${'A'.repeat(43)}`
    const refused = await verb(lab(), ['provision', photos, 'fsn', '--accept-host-key', `fsn=${wrong}`], 5)
    expect(refused.stderr).toContain(wrong)
    expect(refused.stderr).toContain(lab().server('fsn').hostKeyFingerprint)
    expect(await files('fsn')).toEqual(before.fsn)
    expect(await lab().client.readFile(photos)).not.toContain('host_key')
  })
})

const accept = (): string[] =>
  both.flatMap((name) => ['--accept-host-key', `${name}=${lab().server(name).hostKeyFingerprint}`])

describe('provision', () => {
  test('--dry-run prints the commands for each server and changes nothing', async () => {
    const plan = await verb(lab(), ['provision', photos, '--dry-run', ...accept()])
    for (const words of [
      'fsn: env DEBIAN_FRONTEND',
      'install nbd-server',
      'gra: useradd --system',
      'install nbdkit',
    ])
      expect(plan.stdout).toContain(words)
    expect(plan.stdout).toContain(`/srv/cloudvault/photos.img ${size} cloudvault`)
    for (const name of both) expect(await files(name)).toEqual(before[name])
    expect(await lab().client.readFile(photos)).not.toContain('host_key')
  })

  test('sets both servers up, pins the keys, keeps the comments', async () => {
    const done = await verb(lab(), ['provision', photos, ...accept()])
    for (const name of both)
      expect(done.stdout).toContain(`${name}: set up (packages, user, session script, disk`)
    const text = await lab().client.readFile(photos)
    expect(text).toContain('# kept: a comment')
    await lab().client.run('mv /root/known_hosts /root/.ssh/')
    for (const name of both) expect(text).toContain(`host_key: ${lab().server(name).hostKeyFingerprint}`)
  })

  test('twice changes nothing and says so', async () => {
    const again = await verb(lab(), ['provision', photos])
    expect(again.stdout).toBe('fsn: no change\ngra: no change\n')
    const machine = JSON.parse((await verb(lab(), ['provision', photos, '--json'])).stdout)
    expect(machine.members.map((member: { changed: boolean }) => member.changed)).toEqual([false, false])
  })

  test('the disks are allocated in full, closed to others, and nothing serves or listens', async () => {
    for (const [name, path] of [
      ['fsn', '/srv/cloudvault/photos.img'],
      ['gra', '/srv/data/deep/photos.img'],
    ] as const) {
      const stat = (await lab().server(name).run(['stat', '-c', '%s %b %B %U %a', path])).stdout
        .trim()
        .split(' ')
      expect(Number(stat[0])).toBe(size)
      expect(Number(stat[1]) * Number(stat[2])).toBeGreaterThanOrEqual(size)
      expect(stat.slice(3)).toEqual(['cloudvault', '600'])
      expect(await leftOnServer(lab().server(name))).toEqual([])
    }
    const service = await lab().server('fsn').run('systemctl is-active nbd-server', { allowFail: true })
    expect(service.stdout.trim()).toBe('inactive')
  })

  test('a file that we did not make is left alone, exit 5', async () => {
    await lab().server('fsn').run('echo precious > /srv/cloudvault/other.img')
    const pinned = (await lab().client.readFile(photos)).replaceAll('photos', 'other')
    await writeProfile(lab(), pinned, '/root/other.yaml')
    const refused = await verb(lab(), ['provision', '/root/other.yaml', 'fsn'], 5)
    expect(refused.stderr).toContain(
      '/srv/cloudvault/other.img is there already and was not made by cloudvault',
    )
    expect((await lab().server('fsn').run('cat /srv/cloudvault/other.img')).stdout).toBe('precious\n')
    await verb(lab(), ['unprovision', '/root/other.yaml', 'fsn', '--confirm', 'other'])
    await lab().server('fsn').run('rm /srv/cloudvault/other.img')
  })
})

describe.each(both)('a session on %s', (name) => {
  const first = newNonce()
  const second = newNonce()

  test('serves the disk under its nonce, and under no other name', async () => {
    const taken = await take(name, first)
    expect(taken).toMatchObject({ code: 0, stdout: expect.stringContaining('serving yes') })
    const answer = (await ask(name, first)) as { size: number; flags: number }
    expect(answer.size).toBe(size)
    expect(answer.flags & 0b101100).toBe(0b101100) // flush, FUA, trim
    for (const other of ['""', 'default', second])
      expect(await ask(name, other)).toEqual({ refused: expect.anything() })
    const stranger = await lab()
      .server(name)
      .run(`runuser -u nobody -- test -w /run/cloudvault/${memberId('photos', name)}/export.sock`, {
        allowFail: true,
      })
    expect(stranger.code).not.toBe(0)
  })

  test('the same holder with the same nonce changes nothing', async () => {
    expect((await take(name, first)).stdout).toContain('changed no')
  })

  test('its unit is boxed in: exposure below 1.0', async () => {
    const unit = `${memberId('photos', name)}.service`
    const said = await lab()
      .server(name)
      .run(['systemd-analyze', 'security', '--no-pager', unit], { allowFail: true })
    const score = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(said.stdout)?.[1])
    console.log(`${name}: systemd-analyze security says ${score}`)
    expect(score).toBeLessThan(1)
  })

  test('a second holder is refused, exit 6, and told who holds it since when', async () => {
    const refused = await take(name, second, 'desktop/99999999:photos')
    expect(refused.code).toBe(6)
    expect(refused.stderr).toMatch(/held by laptop\/0a1b2c3d:photos since \d{4}-\d\d-\d\dT/)
    expect((await release(name, second)).code).toBe(6)
    const kept = await verb(lab(), ['unprovision', photos, name, '--confirm', 'photos'], 6)
    expect(kept.stderr).toContain('held by laptop/0a1b2c3d:photos')
  })

  test('--take-over fences the first one out: its connection is cut, its name is gone', async () => {
    const { client } = lab()
    const remote = `/run/cloudvault/${memberId('photos', name)}/export.sock`
    await client.run(
      `rm -f /tmp/h.sock; ssh -f -N -M -S /tmp/h.ctl -L /tmp/h.sock:${remote} ${logins[name]}@vps-${name} </dev/null >/dev/null 2>&1
       node ${client.repository}/test/lab/drivers/nbd-go.mjs /tmp/h.sock ${first} hold > /tmp/held 2>&1 &
       for i in $(seq 50); do grep -q size /tmp/held && exit 0; sleep 0.1; done; cat /tmp/held; exit 1`,
    )
    expect((await take(name, second, 'desktop/99999999:photos', true)).stdout).toContain('changed yes')
    const held = await client.run(
      'for i in $(seq 50); do grep -q cut /tmp/held && break; sleep 0.1; done; cat /tmp/held; ssh -S /tmp/h.ctl -O exit x 2>/dev/null; true',
    )
    expect(held.stdout).toContain('{"cut":true}')
    expect(await ask(name, first)).toEqual({ refused: expect.anything() })
    expect(((await ask(name, second)) as { size: number }).size).toBe(size)
  })

  test('a server process that dies is started again under the same name', async () => {
    const unit = `${memberId('photos', name)}.service`
    await lab().server(name).run(`kill -9 $(systemctl show -p MainPID --value ${unit})`)
    const up = `for i in $(seq 100); do systemctl is-active -q ${unit} && exit 0; sleep 0.1; done; exit 1`
    await lab().server(name).run(up)
    expect(((await ask(name, second)) as { size: number }).size).toBe(size)
  })

  test('release leaves no process, no port, no file', async () => {
    expect((await release(name, second)).code).toBe(0)
    expect(await leftOnServer(lab().server(name))).toEqual([])
    expect((await session(name, showCommand('photos', name).argv)).stdout).toContain('held no')
  })

  test('a rebooted server serves nothing', async () => {
    await take(name, first)
    await lab().server(name).reboot()
    expect(await leftOnServer(lab().server(name))).toEqual([])
    expect((await session(name, showCommand('photos', name).argv)).stdout).toContain('held no')
    await lab()
      .server(name)
      .run(`systemctl start ${memberId('photos', name)}.service`)
    expect(await leftOnServer(lab().server(name))).toEqual([])
  })
})

describe('unprovision', () => {
  test('needs the typed name', async () => {
    expect((await verb(lab(), ['unprovision', photos], 2)).stderr).toContain('--confirm photos')
    expect((await verb(lab(), ['unprovision', photos, '--confirm', 'photo'], 2)).stderr).toContain(
      'not the name',
    )
  })

  test('removes exactly what was made', async () => {
    const gone = await verb(lab(), ['unprovision', photos, '--confirm', 'photos'])
    for (const name of both) {
      expect(gone.stdout).toContain(`${name}: everything we made is gone`)
      expect(await files(name)).toEqual(before[name])
      const user = await lab().server(name).run('getent passwd cloudvault', { allowFail: true })
      expect(user.code).not.toBe(0)
    }
  })
})

const port = { fsn: 10809, gra: 10810 } as const
type Family = 'address' | 'address6'
const answersTo = async (name: Name, nonce: string, family: Family = 'address'): Promise<unknown> => {
  const { client } = lab()
  const where = `${lab().server(name)[family]}:${port[name]}`
  const said = await client.run(['node', `${client.repository}/test/lab/drivers/nbd-go.mjs`, where, nonce])
  return JSON.parse(said.stdout)
}
const stranger = async (
  name: Name,
  family: Family = 'address',
  at: number = port[name],
): Promise<string | undefined> => (await lab().bystander?.reach(lab().server(name)[family], at))?.reach
const install = (name: Name, packages: string): Promise<Result> =>
  lab()
    .server(name)
    .run(
      `apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install ${packages}`,
      { deadlineMs: 300_000 },
    )

describe('link plain', () => {
  const films = '/root/films.yaml'
  const nonce = newNonce()
  const answers = (name: Name): Promise<unknown> => answersTo(name, nonce)

  test('nftables on one server, ufw on the other; the port is shut until a session is taken', async () => {
    await install('gra', 'ufw')
    await lab().server('gra').run('ufw allow 22/tcp && ufw --force enable')
    for (const name of both) before[name] = await files(name)
    // Nothing is pinned in this one: the keys are in the client's known_hosts.
    const link = (name: Name): string => `    link: { plain: { port: ${port[name]} } }`
    await writeProfile(lab(), members('films', link), films)
    expect((await verb(lab(), ['provision', films])).stdout).toContain('fsn: host key pinned')
    for (const name of both) {
      expect(await leftOnServer(lab().server(name))).toEqual([])
      expect(await answers(name)).toHaveProperty('error')
    }
    expect((await verb(lab(), ['provision', films])).stdout).toBe('fsn: no change\ngra: no change\n')
    const rules = await lab().server('gra').run('ufw show added')
    expect(rules.stdout).toContain(
      `ufw allow from ${lab().client.address} to any port 10810 proto tcp comment 'cv-films-gra'`,
    )
  })

  test.each(both)('%s lets the client in and nobody else', async (name) => {
    const taken = await take(name, nonce, 'laptop/0a1b2c3d:films', false, 'films')
    expect(taken.stdout).toContain(`port ${port[name]}`)
    expect(await answers(name)).toMatchObject({ size })
    expect(await stranger(name)).toBe('silent')
  })

  test('never served without its rule: a flushed table is back before the server starts', async () => {
    const unit = 'cv-films-fsn.service'
    await lab().server('fsn').run(`nft flush ruleset; systemctl restart ${unit}`)
    expect(await stranger('fsn')).toBe('silent')
    expect(await answers('fsn')).toMatchObject({ size })
    await lab().server('gra').run('ufw --force disable')
    const refused = await lab()
      .server('gra')
      .run('systemctl restart cv-films-gra.service', { allowFail: true })
    expect(refused.code).not.toBe(0)
    expect(await answers('gra')).toHaveProperty('error')
    await lab().server('gra').run('ufw --force enable')
  })

  test('provision after a change of the client address lets the new one in, and SSH stays open', async () => {
    const old = lab().client.address
    await lab().client.setAddress('10.77.0.77')
    expect(await answers('fsn')).toEqual({ error: 'silent' })
    const changed = await verb(lab(), ['provision', films])
    expect(changed.stdout).toContain('fsn: set up (firewall)')
    expect(await answers('fsn')).toMatchObject({ size })
    const rules = (await lab().server('gra').run('ufw show added')).stdout
    expect(rules).toContain('from 10.77.0.77 to any port 10810')
    expect(rules).not.toContain(`from ${old} `)
    expect(rules).toContain('ufw allow 22/tcp')
  })

  test('unprovision takes rules and files away again', async () => {
    for (const name of both) await release(name, nonce, 'films')
    await verb(lab(), ['unprovision', films, '--confirm', 'films'])
    for (const name of both) expect(await files(name)).toEqual(before[name])
    const rules = (await lab().server('gra').run('ufw show added')).stdout
    expect(rules).toContain('ufw allow 22/tcp')
    expect(rules).not.toContain('cv-films')
    expect((await lab().server('fsn').run('command -v nft', { allowFail: true })).stdout).toBe('')
  })
})

describe('link plain, iptables and firewalld', () => {
  const books = '/root/books.yaml'
  const nonce = newNonce()
  const show: Record<Name, string> = {
    fsn: 'iptables -S; ip6tables -S',
    gra: 'firewall-cmd --list-all-zones; firewall-cmd --permanent --list-all-zones; nft list tables',
  }
  const rules = async (name: Name): Promise<string> => (await lab().server(name).run(show[name])).stdout
  /** firewalld keeps a zone as a file of its own once it was changed. */
  const standing = async (name: Name): Promise<string[]> =>
    (await files(name)).filter((path) => !path.startsWith('/etc/firewalld/'))
  const rulesBefore: Partial<Record<Name, string>> = {}
  const name6 = (address: string): string => `fd77::${address.split('.').at(-1)}`
  const write = (): Promise<string> => {
    const { address } = lab().client
    const clients = `[${address}, "${name6(address)}"]`
    const link = (name: Name): string =>
      `    host_key: ${lab().server(name).hostKeyFingerprint}\n    link: { plain: { port: ${port[name]}, clients: ${clients} } }`
    return writeProfile(lab(), members('books', link), books)
  }
  const families = ['address', 'address6'] as const
  const clientAlone = async (name: Name): Promise<void> => {
    const others = Promise.all(families.map((family) => stranger(name, family)))
    for (const family of families) expect(await answersTo(name, nonce, family)).toMatchObject({ size })
    expect(await others).toEqual(['silent', 'silent'])
  }

  test('are found, the port stays shut until a session is taken, twice changes nothing', async () => {
    // Two firewalls that both rule would shut SSH out before anybody chose.
    await lab().server('gra').run('! command -v ufw || ufw --force disable')
    await Promise.all([install('fsn', 'iptables'), install('gra', 'firewalld nftables netbase')])
    await lab()
      .server('fsn')
      .run(`for t in iptables ip6tables; do
      $t -A INPUT -i lo -j ACCEPT; $t -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
      $t -A INPUT -p tcp --dport 22 -j ACCEPT; [ $t = iptables ] || $t -A INPUT -p ipv6-icmp -j ACCEPT
      $t -P INPUT DROP && $t-save >/root/$t.rules || exit; done`)
    await lab().client.run('for s in fsn gra; do ssh -o StrictHostKeyChecking=accept-new vps-$s true; done')
    await lab().server('gra').run('systemctl restart firewalld')
    for (const name of both) {
      before[name] = await standing(name)
      rulesBefore[name] = await rules(name)
    }
    await write()
    await verb(lab(), ['provision', books])
    for (const name of both) expect(await leftOnServer(lab().server(name))).toEqual([])
    expect((await verb(lab(), ['provision', books])).stdout).toBe('fsn: no change\ngra: no change\n')
    expect(await rules('fsn')).toContain('--dport 10809 -m comment --comment cv-books-fsn -j cv-books-fsn')
    expect((await rules('gra')).match(/rule family="ipv6" source .* port="10810" .*accept/g)).toHaveLength(2)
  })

  test.each(both)(
    '%s lets the client in and nobody else, IPv4 and IPv6, and SSH stays open',
    async (name) => {
      await take(name, nonce, 'laptop/0a1b2c3d:books', false, 'books')
      await clientAlone(name)
      for (const family of families) expect(await stranger(name, family, 22)).toBe('open')
    },
  )

  test('other rules are loaded, firewalld is reloaded or ends: still the client alone', async () => {
    const fsn = lab().server('fsn')
    await fsn.run('iptables-restore </root/iptables.rules && ip6tables-restore </root/ip6tables.rules')
    expect(await stranger('fsn')).toBe('silent')
    await fsn.run('iptables -I INPUT 1 -p tcp -j ACCEPT && systemctl restart cv-books-fsn.service')
    await clientAlone('fsn')
    await fsn.run('iptables -D INPUT -p tcp -j ACCEPT')
    await lab().server('gra').run('firewall-cmd --reload')
    await clientAlone('gra')
    await lab().server('gra').run('systemctl stop firewalld')
    expect(await stranger('gra')).toBe('silent')
    await lab().server('gra').run('systemctl start firewalld')
  })

  test('a new address of the client takes the place of the old one', async () => {
    const old = lab().client.address
    await lab().client.setAddress('10.77.0.78')
    expect(await answersTo('gra', nonce, 'address6')).toHaveProperty('error')
    await write()
    const changed = await verb(lab(), ['provision', books])
    await Promise.all(both.map(clientAlone))
    for (const name of both) {
      expect(changed.stdout).toContain(`${name}: set up (firewall)`)
      for (const address of [old, name6(old)]) expect(await rules(name)).not.toContain(address)
    }
  })

  test('unprovision takes away all of it, and nothing else', async () => {
    for (const name of both) await release(name, nonce, 'books')
    await verb(lab(), ['unprovision', books, '--confirm', 'books'])
    for (const name of both) {
      expect(await standing(name)).toEqual(before[name])
      expect(await rules(name)).toBe(rulesBefore[name])
    }
  })
})
