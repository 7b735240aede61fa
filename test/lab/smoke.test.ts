import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Lab, remains, startLab, sweep } from '../../lab/index.ts'
import { registry, repository } from '../../lab/names.ts'
import { pidsOfContainer, startOf } from '../../lab/processes.ts'

const ssh = [
  'ssh',
  '-o',
  'BatchMode=yes',
  '-o',
  'StrictHostKeyChecking=accept-new',
  '-o',
  'ConnectTimeout=20',
]

/** Everything on this machine that carries the lab's id: command lines, namespaces, mounts, cgroups, directories. */
const traces = (id: string): string[] => {
  const commands = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((pid) => (existsSync(`/proc/${pid}/cmdline`) ? readFile(`/proc/${pid}/cmdline`) : ''))
  const groups = readdirSync('/sys/fs/cgroup', { recursive: false }).flatMap((entry) =>
    [entry as string, ...list(`/sys/fs/cgroup/${entry}`)].map((name) => `cgroup ${name}`),
  )
  return [
    ...commands,
    ...readFile('/proc/mounts').split('\n'),
    ...groups,
    ...list('/run/netns'),
    ...list(registry),
    ...list('/var/tmp'),
  ].filter((line) => line.includes(id))
}

const readFile = (file: string): string => {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

const list = (dir: string): string[] => {
  try {
    return readdirSync(dir)
  } catch {
    return []
  }
}

const ping = async (lab: Lab, address: string): Promise<boolean> =>
  (await lab.client.run(['ping', '-c', '1', '-W', '2', address], { allowFail: true })).code === 0

/** Median round trip from the client, in milliseconds. */
const roundTrip = async (lab: Lab, address: string): Promise<number> => {
  const { stdout } = await lab.client.run(['ping', '-c', '9', '-i', '0.2', address])
  const times = [...stdout.matchAll(/time=([\d.]+)/g)].map((match) => Number(match[1])).sort((a, b) => a - b)
  return times[4] ?? Number.POSITIVE_INFINITY
}

describe('a lab with two servers and a bystander', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await startLab({ servers: 2, bystander: true, log: (line) => console.log(`lab: ${line}`) })
  })
  afterAll(() => lab.stop())

  test('is up in less than 20 s', () => {
    expect(lab.startedInMs).toBeGreaterThan(0)
    expect(lab.startedInMs).toBeLessThan(20_000)
  })

  test('the client reaches both servers by their aliases, as root, and each shows the key it was given', async () => {
    for (const server of lab.servers) {
      expect((await lab.client.run([...ssh, server.sshAlias, 'hostname; id -u'])).stdout).toBe(
        `${server.name}\n0\n`,
      )
      const known = await lab.client.run(`ssh-keygen -l -F ${server.address} | grep -v '^#'`)
      expect(known.stdout).toContain(server.hostKeyFingerprint)
    }
  })

  test('a user who is not root becomes root by sudo without a password', async () => {
    const { stdout } = await lab.client.run([...ssh, '-l', 'ops', 'vps-fsn', 'id -un; sudo -n id -u'])
    expect(stdout).toBe('ops\n0\n')
  })

  test('the guest loads nbd and dm-crypt, and not before somebody asks', async () => {
    expect((await lab.client.run('cat /proc/modules')).stdout).not.toMatch(/^nbd /m)
    await lab.client.run('modprobe nbd nbds_max=4 max_part=0 && modprobe dm-crypt && modprobe xts')
    expect((await lab.client.run('ls -d /sys/block/nbd*')).stdout.split('\n').filter(Boolean)).toHaveLength(4)
  })

  test("this machine's node runs this checkout's files in the guest", async () => {
    const file = path.join(lab.client.repository, 'package.json')
    const script = `console.log(process.version, require(${JSON.stringify(file)}).name)`
    expect((await lab.client.run(['node', '-e', script])).stdout).toBe(`${process.version} cloudvault\n`)
  })

  test('stdin, exit codes, standard error and deadlines come through', async () => {
    const odd = `it's "two\nlines" $HOME \\`
    expect((await lab.client.run(['cat'], { input: odd })).stdout).toBe(odd)
    expect((await lab.client.run(['printf', '%s', odd])).stdout).toBe(odd)
    expect(await lab.client.run('echo no >&2; exit 7', { allowFail: true })).toMatchObject({
      code: 7,
      stderr: 'no\n',
    })
    await expect(lab.client.run('exit 7')).rejects.toThrow(/exit 7 on the client/)
    await expect(lab.client.run(['sleep', '60'], { deadlineMs: 1000 })).rejects.toThrow(/no end after 1 s/)
    expect((await lab.client.run('pgrep -x sleep', { allowFail: true })).code).toBe(1)
  })

  test('a command that goes on is read, typed into and stopped', async () => {
    const cat = lab.client.start(['cat'])
    cat.write('hello\n')
    await expect.poll(() => cat.output().stdout, { timeout: 20_000 }).toBe('hello\n')
    await cat.stop()
    expect((await lab.client.run('pgrep -x cat', { allowFail: true })).code).toBe(1)
    const prompt = lab.client.start('tty && read -p "name? " name && echo "so: $name"', { tty: true })
    await expect.poll(() => prompt.output().stdout, { timeout: 20_000 }).toMatch(/pts.*name\? /s)
    prompt.write('ada\r')
    expect((await prompt.wait()).stdout).toContain('so: ada')
  })

  test('servers install packages without a network', async () => {
    const { stdout } = await lab
      .server('fsn')
      .run(
        'apt-get -q update && apt-get -q -y install nbd-server nftables >/dev/null 2>&1 && nft add table inet t && nft list tables',
      )
    expect(stdout).toContain('table inet t')
    expect((await lab.server('gra').run('command -v nbd-server nft', { allowFail: true })).code).not.toBe(0)
  })

  test('the bystander reaches what is open and nothing else', async () => {
    const { address } = lab.server('gra')
    expect(await lab.bystander?.reach(address, 22)).toEqual({ reach: 'open', says: 'SSH-2.0-' })
    expect(await lab.bystander?.reach(address, 10809)).toEqual({ reach: 'refused', says: '' })
  })

  test('nothing goes out', async () => {
    expect((await lab.client.run('ip route show default')).stdout).toBe('')
    expect((await lab.server('fsn').run('ip route show default')).stdout).toBe('')
    const { stdout } = await lab.server('fsn').run('ip -4 -o addr')
    expect(stdout.match(/(?<=inet )\S+/g)).toEqual(['127.0.0.1/8', `${lab.server('fsn').address}/24`])
  })

  test('a cut link is silence, a restored one works, and the other server never notices', async () => {
    const [fsn, gra] = [lab.server('fsn'), lab.server('gra')]
    await fsn.cutLink()
    expect(await ping(lab, fsn.address)).toBe(false)
    expect(await ping(lab, gra.address)).toBe(true)
    expect((await fsn.run('hostname')).stdout).toBe('fsn\n')
    await fsn.restoreLink()
    await expect.poll(() => ping(lab, fsn.address), { timeout: 20_000 }).toBe(true)
    await lab.client.cutLink()
    expect(await ping(lab, gra.address)).toBe(false)
    await lab.client.restoreLink()
    await expect.poll(() => ping(lab, gra.address), { timeout: 20_000 }).toBe(true)
  })

  test('a slow link is slow by as much as was asked, and native again afterwards', async () => {
    const gra = lab.server('gra')
    await gra.shape({ delayMs: 40, mbit: 16 })
    const slow = await roundTrip(lab, gra.address)
    expect(slow).toBeGreaterThan(79)
    expect(slow).toBeLessThan(140)
    const started = Date.now()
    await lab.client.run([...ssh, 'vps-gra', 'head -c 4000000 /dev/zero'], { deadlineMs: 60_000 })
    expect(Date.now() - started).toBeGreaterThan(2000)
    await gra.shape(null)
    expect(await roundTrip(lab, gra.address)).toBeLessThan(40)
  })

  test.each(['kill', 'stop'] as const)(
    'after %s and start a server has its disk but not its /run',
    async (way) => {
      const gra = lab.server('gra')
      await gra.run('rm -f /srv/told; echo disk > /srv/kept; echo memory > /run/lost; sync')
      await gra.run('systemd-run --quiet -p ExecStop="touch /srv/told" sleep infinity')
      await gra[way]()
      expect(gra.running).toBe(false)
      expect(await ping(lab, gra.address)).toBe(false)
      expect(readFileSync(path.join(gra.root, 'srv/kept'), 'utf8')).toBe('disk\n')
      // A power cut tells nobody; a shutdown lets every service end in order.
      expect(existsSync(path.join(gra.root, 'srv/told'))).toBe(way === 'stop')
      writeFileSync(path.join(gra.root, 'srv/kept'), 'spoilt\n')
      await gra.start()
      expect((await gra.run('cat /srv/kept; ls /run/lost 2>&1', { allowFail: true })).stdout).toMatch(
        /^spoilt\n.*No such file/,
      )
      expect((await lab.client.run([...ssh, 'vps-gra', 'hostname'])).stdout).toBe('gra\n')
    },
  )

  test('a frozen server says nothing until it is thawed', async () => {
    const fsn = lab.server('fsn')
    await fsn.freeze()
    const asked = lab.bystander?.reach(fsn.address, 22)
    expect((await asked)?.says).toBe('')
    await fsn.thaw()
    expect(await lab.bystander?.reach(fsn.address, 22)).toEqual({ reach: 'open', says: 'SSH-2.0-' })
  })

  test('the client moves to another address and the servers see it there', async () => {
    await lab.client.setAddress('10.77.0.55')
    const { stdout } = await lab.client.run([...ssh, 'vps-fsn', 'echo $SSH_CLIENT'])
    expect(stdout).toMatch(/^10\.77\.0\.55 /)
  })

  test('the client survives a power cut with what it had synced', async () => {
    await lab.client.run('echo synced > /root/kept; sync; echo memory > /run/lost')
    await lab.client.kill()
    expect(lab.client.running).toBe(false)
    await lab.client.boot()
    expect((await lab.client.run('cat /root/kept; ls /run/lost 2>&1', { allowFail: true })).stdout).toMatch(
      /^synced\n.*No such file/,
    )
    expect(lab.client.address).toBe('10.77.0.55')
    expect((await lab.client.run('ip -br addr show vec0')).stdout).toContain('10.77.0.55/24')
  })
})

describe('what stays', () => {
  test('two labs run side by side, the same addresses in both, and each stop leaves nothing of its own', async () => {
    const [one, two] = await Promise.all([startLab({ servers: 1 }), startLab({ servers: 1 })])
    try {
      await one.server('fsn').run('echo one > /etc/which')
      await two.server('fsn').run('echo two > /etc/which')
      expect((await one.client.run([...ssh, 'vps-fsn', 'cat /etc/which'])).stdout).toBe('one\n')
      expect((await two.client.run([...ssh, 'vps-fsn', 'cat /etc/which'])).stdout).toBe('two\n')
      const pids = pidsOfContainer(one.server('fsn').init ?? 0)
      expect(pids.length).toBeGreaterThan(3)
      expect(traces(one.id).length).toBeGreaterThan(5)
      await one.stop()
      expect(traces(one.id)).toEqual([])
      expect(pids.filter((pid) => startOf(pid) !== '')).toEqual([])
      expect((await two.client.run([...ssh, 'vps-fsn', 'cat /etc/which'])).stdout).toBe('two\n')
    } finally {
      await one.stop()
      await two.stop()
    }
    expect(traces(two.id)).toEqual([])
  })

  test('a systemd client boots too, and its units run', async () => {
    const lab = await startLab({ servers: 1, init: 'systemd' })
    try {
      const { stdout } = await lab.client.run(
        'systemd-run --quiet --wait --pipe sh -c "echo from a unit"; ls -d /run/systemd/system /run/cryptsetup',
      )
      expect(stdout).toBe('from a unit\n/run/cryptsetup\n/run/systemd/system\n')
    } finally {
      await lab.stop()
    }
    expect(traces(lab.id)).toEqual([])
  })

  test.each([
    ['SIGINT', 'itself'],
    ['SIGKILL', 'the next start'],
  ] as const)('a lab whose owner gets %s is removed by %s', async (name, _remover) => {
    const outfile = path.join(repository(), 'out/lab-owner.mjs')
    const contents = `import { startLab } from './lab/index.ts'
      const lab = await startLab({ servers: 1 }); console.log(lab.id); setInterval(() => {}, 1000)`
    const stdin = { contents, resolveDir: repository(), loader: 'ts' as const }
    await build({ stdin, bundle: true, platform: 'node', format: 'esm', outfile, logLevel: 'error' })
    const child = spawn(process.execPath, [outfile], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? code)))
    const id = await new Promise<string>((resolve) =>
      child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim())),
    )
    expect(remains(id).length).toBeGreaterThan(5)
    child.kill(name)
    expect(await ended).toBe(name)
    if (name === 'SIGKILL') {
      expect(remains(id).length).toBeGreaterThan(5)
      sweep()
    }
    expect(traces(id)).toEqual([])
  })
})
