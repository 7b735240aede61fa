import { describe, expect, test } from 'vitest'
import { canary, labProfile, leftOnClient, nothingLeft, useLab, verb } from './support.ts'

/**
 * The main path on real kernels, with the profile that the README shows: provision, create, up, work, down. The
 * tests of this file are one story and run in order.
 */
const lab = useLab({ servers: 2, bystander: true })

const disk = '/srv/cloudvault/photos.img'
const status = async () => JSON.parse((await verb(lab(), ['status', 'photos', '--json'])).stdout)
const hashes = async (): Promise<string> =>
  (
    await lab().client.run(
      'cd /vault/photos && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum',
    )
  ).stdout

describe('the first vault', () => {
  test('provision sets both servers up, and the second time changes nothing', async () => {
    await labProfile(lab())
    await verb(lab(), ['provision', 'photos'])
    const again = await verb(lab(), ['provision', 'photos'])
    expect(again.stdout + again.stderr).toContain('no change')
  })

  test('up before create says what is missing, exit 3', async () => {
    const refused = await verb(lab(), ['up', 'photos'], 3)
    expect(refused.stderr).toContain('cloudvault create photos')
    expect(await leftOnClient(lab())).toEqual([])
  })

  test('create without consent is refused, and --dry-run shows the commands', async () => {
    const refused = await verb(lab(), ['create', 'photos'], 2)
    expect(refused.stderr).toContain('--confirm photos')
    const plan = await verb(lab(), ['create', 'photos', '--dry-run'])
    expect(plan.stdout).toContain('cryptsetup luksFormat')
    expect(plan.stdout).toContain('mkfs.btrfs -q -K -L photos -d raid1 -m raid1 --csum blake2')
    expect(plan.stdout).toContain('netlink nbd CONNECT')
    expect(await leftOnClient(lab())).toEqual([])
  })

  test('create refuses a disk that is not blank, exit 7, and writes nothing to it', async () => {
    const gra = lab().server('gra')
    const put = (byte: string) =>
      gra.run(`printf '${byte}' | dd of=${disk} bs=1 seek=1000000 conv=notrunc status=none`)
    await put('x')
    const before = (await gra.run(`sha256sum < ${disk}`)).stdout
    const refused = await verb(lab(), ['create', 'photos', '--confirm', 'photos'], 7)
    expect(refused.stderr).toContain('the disk of gra is not blank')
    expect((await gra.run(`sha256sum < ${disk}`)).stdout).toBe(before)
    expect(await leftOnClient(lab())).toEqual([])
    await put('\\0')
  })

  test('create formats, writes the recovery kit and leaves nothing standing', async () => {
    const created = await verb(lab(), ['create', 'photos', '--confirm', 'photos'])
    expect(created.stdout).toContain('recovery kit: /var/lib/cloudvault/photos/photos-recovery-kit.tar')
    const kit = await lab().client.run('tar -tf /var/lib/cloudvault/photos/photos-recovery-kit.tar')
    for (const name of [
      'RUNBOOK.txt',
      'profile.yaml',
      'keys.luks',
      'headers/fsn.luks',
      'headers/gra.luks',
      'record.json',
    ])
      expect(kit.stdout).toContain(name)
    await nothingLeft(lab())
  })

  test('create again is refused, exit 7, and touches nothing', async () => {
    const refused = await verb(lab(), ['create', 'photos', '--confirm', 'photos'], 7)
    expect(refused.stderr).toContain('exists since')
  })

  test('up mounts, and a second up changes nothing', async () => {
    const plan = await verb(lab(), ['up', 'photos', '--dry-run'])
    for (const words of ['netlink nbd CONNECT index=0', 'cryptsetup open', 'mount -i -t btrfs', 'ssh -N'])
      expect(plan.stdout).toContain(words)
    expect(await leftOnClient(lab())).toEqual([])
    const up = await verb(lab(), ['up', 'photos'])
    expect(up.stdout).toContain('photos is up at /vault/photos on fsn, gra')
    const again = await verb(lab(), ['up', 'photos'])
    expect(again.stdout).toContain('already up')
    const mounted = (await lab().client.run('grep /vault/photos /proc/self/mountinfo')).stdout
    for (const option of ['nosuid', 'nodev', 'noatime', 'compress=zstd:3']) expect(mounted).toContain(option)
  })

  test('status is healthy, in words and as JSON', async () => {
    const report = await status()
    expect(report.verdict).toBe('healthy')
    expect(report.members.map((member: { mirror: string }) => member.mirror)).toEqual(['in sync', 'in sync'])
    const shown = await verb(lab(), ['status', 'photos', '--check'])
    expect(shown.stdout).toContain('HEALTHY')
  })

  test('the passphrase is in no argument, environment, log or receipt', async () => {
    const places =
      '/proc/[0-9]*/cmdline /proc/[0-9]*/environ /var/lib/cloudvault /run/cloudvault /var/log /tmp'
    // The pattern comes from the file: as an argument, grep would find itself.
    const grep = `LC_ALL=C grep -r -a -l -F -f /root/photos.pass ${places} 2>/dev/null || true`
    const found = await lab().client.run(grep)
    expect(found.stdout).toBe('')
  })

  test('real files go in', async () => {
    const copied = await lab().client.run(
      `tar -C ${lab().client.repository}/node_modules -cf - zod yaml | tar -C /vault/photos -xf - && ` +
        `printf 'plaintext-canary-8e41 in a file' > /vault/photos/plaintext-canary-8e41.txt && sync && find /vault/photos -type f | wc -l`,
    )
    expect(Number(copied.stdout)).toBeGreaterThan(500)
  })

  test('a busy vault is not taken down: exit 6, who and what, and it stays mounted', async () => {
    const holder = lab().client.start('cd /vault/photos && exec sleep 600')
    await lab().client.run('for i in $(seq 50); do pgrep -f "^sleep 600" && exit 0; sleep 0.1; done; exit 1')
    const refused = await verb(lab(), ['down', 'photos'], 6)
    expect(refused.stderr).toMatch(/pid \d+ sleep: cwd \/vault\/photos/)
    await holder.stop()
    expect((await status()).verdict).toBe('healthy')
  })

  test('refused or not, down never counts itself among the holders, and a mounted vault stays watched', async () => {
    const inside = lab()
      .client.cloudvaultArgv(['down', 'photos'])
      .map((word) => `'${word}'`)
    const refused = await lab().client.run(`cd /vault/photos && ${inside.join(' ')}; echo "exit $?"`)
    expect(refused.stdout).toContain('exit 6')
    expect(refused.stderr).toMatch(/pid \d+ sh: cwd \/vault\/photos/)
    expect(refused.stderr).not.toMatch(/pid \d+ (node|flock|cat):/)
    expect(await leftOnClient(lab())).toContainEqual(expect.stringMatching(/^process .*monitor/))
  })

  test('a stranger on the network reaches SSH and nothing else', async () => {
    for (const server of lab().servers) {
      expect((await lab().bystander?.reach(server.address, 22))?.reach).toBe('open')
      for (const port of [10809, 10810, 1043]) {
        expect((await lab().bystander?.reach(server.address, port))?.reach).not.toBe('open')
      }
      const listening = (await server.run("ss -Hltn | awk '{print $4}'")).stdout.trim().split('\n')
      expect(listening.filter((address) => !address.endsWith(':22'))).toEqual([])
    }
  })

  let before = ''
  test('down proves what every server holds and leaves nothing behind, here or there', async () => {
    before = await hashes()
    const down = await verb(lab(), ['down', 'photos'])
    expect(down.stdout).toMatch(
      /fsn holds generation (\d+), read back[\s\S]*gra holds generation \1, read back/,
    )
    expect(down.stdout).toContain('photos is down; everything that was written is on every server')
    await nothingLeft(lab())
    const again = await verb(lab(), ['down', 'photos'])
    expect(again.stdout).toContain('already down')
  })

  test("the provider's disk holds no plain text, no LUKS header and no Btrfs magic", async () => {
    for (const server of lab().servers) {
      for (const word of ['plaintext-canary-8e41', canary, 'LUKS', '_BHRfS_M', 'photos', 'cloudvault']) {
        const { stdout } = await server.run(`LC_ALL=C grep -a -c -F '${word}' ${disk} || true`)
        expect(`${word}: ${stdout.trim()}`).toBe(`${word}: 0`)
      }
    }
  })

  test('up again brings the same bytes back', async () => {
    await verb(lab(), ['up', 'photos'])
    expect(await hashes()).toBe(before)
  })

  test('the passphrase is changed while the vault is up, and the kit with it', async () => {
    await lab().client.putFile('/root/new.pass', 'another canary', 0o600)
    const changed = await verb(lab(), ['key', 'change', 'photos', '--new', 'file:/root/new.pass'])
    expect(changed.stdout).toContain('is written anew')
    await verb(lab(), ['down', 'photos'])
    const refused = await verb(lab(), ['up', 'photos'], 9)
    expect(refused.stderr).toContain('the passphrase does not open the keyring')
    const unpacked = `mkdir /root/kit && tar -xf /var/lib/cloudvault/photos/*-recovery-kit.tar -C /root/kit`
    await lab().client.run(`${unpacked} && cmp /root/kit/keys.luks /var/lib/cloudvault/photos/keys.luks`)
    await lab().client.putFile('/root/photos.pass', 'another canary', 0o600)
    await verb(lab(), ['up', 'photos'])
    await lab().client.putFile('/root/new.pass', canary, 0o600)
    await verb(lab(), ['key', 'change', 'photos', '--new', 'file:/root/new.pass'])
    await lab().client.run('mv /root/new.pass /root/photos.pass')
  })

  test('status answers while a server is silent, and a short silence leaves no trace', async () => {
    await lab().server('gra').cutLink()
    await lab().client.run('sleep 2')
    const asked = Date.now()
    const report = await status()
    expect(Date.now() - asked).toBeLessThan(25_000)
    expect(report.verdict).toBe('degraded')
    expect(report.members[1].link).toEqual({ kind: 'ssh', state: 'down', note: 'no answer' })
    await lab().server('gra').restoreLink()
    let verdict = ''
    for (let look = 0; look < 20 && verdict !== 'healthy'; look++) {
      await lab().client.run('sleep 2')
      verdict = (await status()).verdict
    }
    expect(verdict).toBe('healthy')
  })

  test('without cloudvault the runbook opens the vault and closes it, and leaves nothing', async () => {
    await verb(lab(), ['down', 'photos'])
    const book = (await verb(lab(), ['runbook', 'photos'])).stdout
    const [open = '', close = ''] = book.split('# Closing:')
    // The one line that asks a person; everything else runs as printed.
    const typed = open.replace(/^read .* P$/m, 'read -r P < /root/photos.pass || true')
    expect(typed).not.toBe(open)
    const known = 'for h in vps-fsn vps-gra; do ssh -n -o StrictHostKeyChecking=accept-new $h true; done'
    await lab().client.run(['bash', '-c', `${known}\nset -e\n${typed}`])
    expect(await hashes()).toBe(before)
    const cache = await lab().client.run(
      'cat /sys/block/nbd0/queue/write_cache /sys/block/nbd1/queue/write_cache',
    )
    expect(cache.stdout).toBe('write back\nwrite back\n')
    await lab().client.run('echo by hand > /vault/photos/by-hand && sync')
    await lab().client.run(['bash', '-c', `set -e\n${close}`])
    await nothingLeft(lab())
    await verb(lab(), ['up', 'photos'])
    expect((await lab().client.run('cat /vault/photos/by-hand')).stdout).toBe('by hand\n')
    await verb(lab(), ['down', 'photos'])
  })
})
