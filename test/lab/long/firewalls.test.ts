import { beforeAll, expect, test } from 'vitest'
import type { LabServer } from '../../../lab/index.ts'
import { tunnelOf } from '../../../src/names.ts'
import { copyPhotos, everyFileIsRight, status } from '../drills/work.ts'
import { canary, nothingLeft, useLab, verb, writeProfile } from '../support.ts'

/**
 * Tunnels through firewalls that keep everybody out: ufw, firewalld and iptables, one to a server, under one vault. First
 * WireGuard, then IPsec, whose packets meet the firewall twice. All of it is undone by name.
 */
const lab = useLab({ servers: 3, bystander: true })
const minutes = 60_000

const show: Readonly<Record<string, string>> = {
  fsn: 'ufw show added; nft list tables | grep cv_; true',
  gra: 'firewall-cmd --list-all-zones; firewall-cmd --permanent --list-all-zones; nft list tables | grep cv_; true',
  hel: 'iptables -S; ip6tables -S; nft list tables 2>/dev/null | grep cv_; true',
}
const rules = async (server: LabServer): Promise<string> =>
  (await server.run(show[server.name] ?? 'false')).stdout
const before = new Map<string, string>()

const write = (link: string): Promise<string> => {
  const members = lab().servers.map(
    (server) => `  - name: ${server.name}
    provider: ${server.name}
    ssh: vps-${server.name}
    host_key: ${server.hostKeyFingerprint}
    disk: { file: /srv/cloudvault/photos.img, size: 256MiB }
    link: ${link}
`,
  )
  const text = `version: 1
vault: photos
mount: { at: /vault/photos }
filesystem: { mirror: raid1c3 }
unlock:
  passphrase: { file: /root/photos.pass }
  kdf: { algorithm: pbkdf2, iterations: 1000 }
members:
${members.join('')}`
  return writeProfile(lab(), text, '/etc/cloudvault/photos.yaml')
}

const install = (server: LabServer, packages: string): Promise<unknown> =>
  server.run(
    `apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install ${packages}`,
    { deadlineMs: 300_000 },
  )

beforeAll(async () => {
  const [ufw, firewalld, iptables] = ['fsn', 'gra', 'hel'].map((name) => lab().server(name)) as [
    LabServer,
    LabServer,
    LabServer,
  ]
  await Promise.all([
    install(ufw, 'ufw'),
    install(firewalld, 'firewalld nftables netbase'),
    install(iptables, 'iptables'),
  ])
  await ufw.run('ufw allow 22/tcp && ufw --force enable')
  await firewalld.run('systemctl restart firewalld')
  await iptables.run(`for t in iptables ip6tables; do
    $t -A INPUT -i lo -j ACCEPT; $t -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
    $t -A INPUT -p tcp --dport 22 -j ACCEPT; [ $t = iptables ] || $t -A INPUT -p ipv6-icmp -j ACCEPT
    $t -P INPUT DROP || exit; done`)
  for (const server of lab().servers) before.set(server.name, await rules(server))
  await lab().client.putFile('/root/photos.pass', canary, 0o600)
}, 15 * minutes)

/** Up through all three, every file right, and nobody comes to the export at the server's own address. */
const inUse = async (): Promise<void> => {
  await verb(lab(), ['up', 'photos'])
  expect((await status(lab())).verdict).toBe('healthy')
  for (const { name, address } of lab().servers)
    expect((await lab().bystander?.reach(address, 10809))?.reach, name).not.toBe('open')
  expect(await everyFileIsRight(lab())).toBeGreaterThan(0)
}

test('WireGuard: up, in use, and down through ufw, firewalld and iptables', {
  timeout: 15 * minutes,
}, async () => {
  await write('wireguard')
  await verb(lab(), ['provision', 'photos'])
  const { stdout } = await verb(lab(), ['provision', 'photos'])
  for (const { name } of lab().servers) expect(stdout).toContain(`${name}: no change\n`)
  for (const server of lab().servers) expect(await rules(server)).toContain('51820')
  await verb(lab(), ['create', 'photos', '--confirm', 'photos'])
  await verb(lab(), ['up', 'photos'])
  await copyPhotos(lab())
  await verb(lab(), ['down', 'photos'])
  await inUse()
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
})

test('IPsec: the same through all three, and past the tunnel nobody reaches the export', {
  timeout: 15 * minutes,
}, async () => {
  await write('ipsec')
  await verb(lab(), ['provision', 'photos'])
  const { stdout } = await verb(lab(), ['provision', 'photos'])
  for (const { name } of lab().servers) expect(stdout).toContain(`${name}: no change\n`)
  for (const server of lab().servers) expect(await rules(server)).not.toContain('51820')
  await inUse()
  // A stranger that has the client's address inside, which every firewall lets in: our own table drops it.
  for (const { name, address6 } of lab().servers) {
    const { server, client } = tunnelOf('photos', name)
    await lab().bystander?.run(
      `ip addr add ${client}/128 dev eth0 nodad && ip -6 route add ${server} via ${address6} src ${client}`,
    )
    expect((await lab().bystander?.reach(server, 10809))?.reach, name).toBe('silent')
    await lab().bystander?.run(`ip addr del ${client}/128 dev eth0`)
  }
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
})

test('unprovision takes away by name what each of them was told, and nothing else', {
  timeout: 10 * minutes,
}, async () => {
  await verb(lab(), ['unprovision', 'photos', '--confirm', 'photos'])
  for (const server of lab().servers) {
    expect(await rules(server)).toBe(before.get(server.name))
    const left = 'ls -d /etc/cloudvault /srv/cloudvault /etc/systemd/system/cv-* 2>/dev/null; true'
    expect((await server.run(left)).stdout).toBe('')
  }
})
