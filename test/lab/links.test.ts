import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { LabServer, Seen } from '../../lab/index.ts'
import { tunnelOf } from '../../src/names.ts'
import { newCertificate } from './certificate.ts'
import { everyFileIsRight, status, writeDuring } from './drills/work.ts'
import { canary, labProfile, leftOnServer, nothingLeft, useLab, verb } from './support.ts'

/**
 * Every kind of link that opens a port, two at a time under one vault: what passes on the wire, who is let in, and
 * that it goes without a trace. One story: the profile gets other links, provision changes them. That each is mended
 * after a cut is shown by long/cuts.test.ts.
 */
const lab = useLab({ servers: 2, bystander: true })

const fsn = () => lab().server('fsn')
const gra = () => lab().server('gra')

/** What NBD without encryption shows: the greeting, and every request (its magic, and the type read or write). */
const needles = {
  greeting: Buffer.from('NBDMAGIC'),
  request: Buffer.from('256095130000', 'hex'),
  canary: Buffer.from(canary),
  files: Buffer.from('canary-in-a-file'),
}

const profile = (first: string, second: string): Promise<string> =>
  labProfile(lab(), {
    changes: [
      ['    link: ssh                     #', `    link: ${first}   #`],
      ['    link: ssh\n', `    server: nbdkit\n    link: ${second}\n`],
    ],
  })

/** A file with a canary in it, and one that cannot be compressed: as many bytes pass. All right when read back. */
const writeCanary = async (): Promise<void> => {
  const fill = 'yes canary-in-a-file | head -c 2000000'
  await lab().client.run(
    `${fill} > /vault/photos/c-$$ && head -c 2000000 /dev/urandom > /vault/photos/c-$$-noise && sync -f /vault/photos && sha256sum /vault/photos/c-* >> /tmp/sums`,
  )
  await everyFileIsRight(lab())
}

/** Up, looked at from the wire, down. @returns what passed at each server */
const round = async (): Promise<Record<'fsn' | 'gra', Seen<keyof typeof needles>>> => {
  const wires = [await fsn().listen(needles), await gra().listen(needles)] as const
  await verb(lab(), ['up', 'photos'])
  await writeCanary()
  expect((await status(lab())).verdict).toBe('healthy')
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
  const [one, other] = [await wires[0].stop(), await wires[1].stop()]
  for (const seen of [one, other]) expect(seen.bytes).toBeGreaterThan(1_000_000)
  console.log('links: passed', one.bytes, one.found, other.bytes, other.found)
  return { fsn: one, gra: other }
}

/** Once more, and nothing is left to be done. */
const provisionedAlready = async (): Promise<void> => {
  const { stdout } = await verb(lab(), ['provision', 'photos'])
  for (const name of ['fsn', 'gra']) expect(stdout).toContain(`${name}: no change\n`)
}

const hidden = { greeting: 0, request: 0, canary: 0, files: 0 }

/** Somebody at the provider puts another program in the place of the link's far end. */
const replaceLink = async (server: LabServer, start: string): Promise<void> => {
  const folder = `/etc/systemd/system/cv-photos-${server.name}-link.service.d`
  await server.run(
    `mkdir -p ${folder} && printf '[Service]\\nExecStart=\\nExecStart=%s\\n' '${start}' > ${folder}/x.conf && systemctl daemon-reload`,
  )
}
const mendLink = (server: LabServer) =>
  server.run(`rm -r /etc/systemd/system/cv-photos-${server.name}-link.service.d && systemctl daemon-reload`)

/** How much the far end of a link may do, as systemd counts it, from 0 to 10. */
const exposure = async (server: LabServer): Promise<number> => {
  const argv = ['systemd-analyze', 'security', '--no-pager', `cv-photos-${server.name}-link.service`]
  const said = (await server.run(argv, { allowFail: true })).stdout
  console.log(/.*Overall exposure level.*/.exec(said)?.[0])
  return Number(/Overall exposure level for \S+: ([\d.]+)/.exec(said)?.[1])
}

/** `up` refuses with exit 5, says why, and leaves nothing. */
const untrusted = async (why: RegExp): Promise<void> => {
  const { stderr } = await verb(lab(), ['up', 'photos'], 5)
  expect(stderr).toMatch(why)
  expect(stderr).toContain('next: cloudvault provision photos')
  await nothingLeft(lab())
}

describe('TLS with a shared key, and TLS with certificates over IPv6', () => {
  test('provision makes keys, opens a port to this client alone, and create works through it', async () => {
    await profile(
      'tls',
      `{ tls: { port: 443, auth: x509, address: "${gra().address6}", clients: ["fd77::2"] } }`,
    )
    await verb(lab(), ['provision', 'photos'])
    await provisionedAlready()
    await verb(lab(), ['create', 'photos', '--confirm', 'photos'])
    const kit = await lab().client.run('tar tf /var/lib/cloudvault/photos/photos-recovery-kit.tar')
    expect(kit.stdout).toContain('links/fsn/tls.psk\n')
    expect(kit.stdout).toContain('links/gra/client.key\n')
    const modes = await lab().client.run(
      'stat -c %a /var/lib/cloudvault/photos/links/*/*.key /var/lib/cloudvault/photos/links /var/lib/cloudvault/photos/links/fsn/tls.psk',
    )
    expect(modes.stdout.trim().split('\n')).toEqual(['600', '600', '700', '600'])
  })

  test('nothing readable passes', async () => {
    const seen = await round()
    expect(seen.fsn.found).toEqual(hidden)
    expect(seen.gra.found).toEqual(hidden)
  })

  test('while it is up a stranger is not let in, and without a certificate nobody is', async () => {
    await verb(lab(), ['up', 'photos'])
    const stranger = lab().bystander
    expect((await stranger?.reach(fsn().address, 10809))?.reach).toBe('silent')
    expect((await stranger?.reach(gra().address6, 443))?.reach).toBe('silent')
    const ask = `(sleep 3; echo) | timeout 20 openssl s_client -connect`
    const bare = await lab().client.run(`${ask} [${gra().address6}]:443 2>&1`, { allowFail: true })
    expect(bare.stdout).toMatch(/alert certificate required/)
    const keyless = await lab().client.run(`${ask} ${fsn().address}:10809 2>&1`, { allowFail: true })
    expect(keyless.stdout).toMatch(/alert handshake failure/)
    await verb(lab(), ['down', 'photos'])
  })

  test('a wrong key, a server without TLS, and one that has another certificate: exit 5, in words', async () => {
    const file = '/etc/cloudvault/cv-photos-fsn/tls.psk'
    await fsn().run(`cp ${file} /tmp/key && sed -i 's/:..../:0000/' ${file}`)
    await untrusted(/its TLS link does not know our key/)
    await fsn().run(`mv /tmp/key ${file}`)
    const greets = `use Socket; socket(S,PF_INET,SOCK_STREAM,6); setsockopt(S,SOL_SOCKET,SO_REUSEADDR,1); bind(S,sockaddr_in(10809,INADDR_ANY)); listen(S,5); while(accept(C,S)){syswrite C,"NBDMAGICIHAVEOPT";sleep 1;close C}`
    writeFileSync(join(fsn().root, 'etc/greets.pl'), greets)
    await replaceLink(fsn(), '/usr/bin/perl /etc/greets.pl')
    await untrusted(/does not speak TLS/)
    await newCertificate(join(fsn().root, 'etc'), 'other')
    const stunnel = `foreground=yes\npid=\nsyslog=no\n[x]\naccept=10809\nconnect=/run/cloudvault/cv-photos-fsn/export.sock\ncert=/etc/other.pem\nkey=/etc/other.key\n`
    writeFileSync(join(fsn().root, 'etc/other.conf'), stunnel)
    await replaceLink(fsn(), '/usr/bin/stunnel /etc/other.conf')
    await untrusted(/somebody else answers at its TLS port/)
    await mendLink(fsn())
    for (const name of ['greets.pl', 'other.pem', 'other.key', 'other.conf'])
      rmSync(join(fsn().root, 'etc', name))
  })

  test('a certificate that is too old: exit 5, and provision makes another', async () => {
    await lab().client.run('date -s "+1000 days"')
    await untrusted(/certificate of its TLS link is too old/)
    const again = await verb(lab(), ['provision', 'photos', 'gra'])
    expect(again.stdout).toContain('gra: set up (link keys, link)')
    await lab().client.run('date -s "-1000 days"')
  })
})

describe('WireGuard, over IPv4 and over IPv6', () => {
  test('provision turns the links of a vault that exists into tunnels', async () => {
    await profile('wireguard', `{ wireguard: { port: 4500, address: "${gra().address6}" } }`)
    await verb(lab(), ['provision', 'photos'])
    await provisionedAlready()
    expect((await fsn().run('ls /etc/cloudvault/cv-photos-fsn')).stdout).not.toContain('tls')
  })

  test('nothing readable passes', async () => {
    const seen = await round()
    expect(seen.fsn.found).toEqual(hidden)
    expect(seen.gra.found).toEqual(hidden)
  })

  test('the export is in the tunnel alone, and this machine may change its address under a writer', async () => {
    await verb(lab(), ['up', 'photos'])
    for (const server of lab().servers) {
      const open = (await server.run("ss -Hltn | awk '{print $4}' | grep -v ':22$'; true")).stdout
      expect(open).toBe('')
      expect((await lab().bystander?.reach(server.address, 10809))?.reach).not.toBe('open')
    }
    expect(await exposure(fsn())).toBeLessThan(2)
    const { address } = lab().client
    const { worstMs } = await writeDuring(lab(), async () => {
      await lab().client.setAddress('10.77.0.55')
      await lab().client.run('sleep 3')
    })
    expect(worstMs).toBeLessThan(15_000)
    await everyFileIsRight(lab())
    await lab().client.setAddress(address)
    await verb(lab(), ['down', 'photos'])
  })

  test('a server with other keys gives no answer: exit 4, in words', async () => {
    const file = '/etc/cloudvault/cv-photos-fsn/shared.key'
    await fsn().run(`cp ${file} /tmp/key && head -c 32 /dev/urandom | base64 > ${file}`)
    const { stderr } = await verb(lab(), ['up', 'photos'], 4)
    expect(stderr).toMatch(
      /no WireGuard handshake: UDP port 51820 is not reached, or the server has other keys/,
    )
    expect(stderr).toContain('next: cloudvault provision photos fsn')
    await nothingLeft(lab())
    await fsn().run(`mv /tmp/key ${file}`)
  })
})

describe('IPsec, over IPv4 and over IPv6', () => {
  test('provision turns the tunnels into others', async () => {
    const address = gra().address6
    await profile('ipsec', `{ ipsec: { port: 4511, address: "${address}", clients: ["fd77::2"] } }`)
    await verb(lab(), ['provision', 'photos'])
    await provisionedAlready()
    // The package's own daemon, which would listen for everybody, never ran.
    expect((await fsn().run('systemctl is-enabled strongswan.service', { allowFail: true })).stdout).toBe(
      'masked\n',
    )
  })

  test('nothing readable passes', async () => {
    const seen = await round()
    expect(seen.fsn.found).toEqual(hidden)
    expect(seen.gra.found).toEqual(hidden)
  })

  test('past the tunnel nobody reaches the export, not even from an address inside', async () => {
    await verb(lab(), ['up', 'photos'])
    const { server, client } = tunnelOf('photos', 'fsn')
    const stranger = lab().bystander
    await stranger?.run(
      `ip addr add ${client}/128 dev eth0 nodad && ip -6 route add ${server} via ${fsn().address6} src ${client}`,
    )
    expect((await stranger?.reach(server, 10809))?.reach).toBe('silent')
    await stranger?.run(`ip addr del ${client}/128 dev eth0`)
    expect(await exposure(fsn())).toBeLessThan(2)
    expect((await status(lab())).verdict).toBe('healthy')
    await verb(lab(), ['down', 'photos'])
  })

  test('a wrong key: exit 5, in words', async () => {
    const file = '/etc/cloudvault/cv-photos-fsn/ipsec.secret'
    await fsn().run(`cp ${file} /tmp/key && sed -i 's/0x..../0x0000/' ${file}`)
    await untrusted(/its IPsec link does not know our key/)
    await fsn().run(`mv /tmp/key ${file}`)
  })
})

describe('plain, for comparison, and SSH', () => {
  test('plain shows every request to the wire, and status says so; SSH shows nothing', async () => {
    await profile('plain', 'ssh')
    await verb(lab(), ['provision', 'photos'])
    const wires = [await fsn().listen(needles), await gra().listen(needles)] as const
    await verb(lab(), ['up', 'photos'])
    await writeCanary()
    expect((await verb(lab(), ['status', 'photos'])).stdout).toMatch(/fsn .* plain .*without authentication/s)
    await verb(lab(), ['down', 'photos'])
    const [open, shut] = [await wires[0].stop(), await wires[1].stop()]
    expect(open.found.greeting).toBeGreaterThan(0)
    expect(open.found.request).toBeGreaterThan(10)
    // What LUKS makes of a file is hidden on every link.
    expect(open.found).toMatchObject({ canary: 0, files: 0 })
    expect(shut.found).toEqual(hidden)
    await nothingLeft(lab())
  })
})

test('unprovision leaves nothing of any link', async () => {
  await verb(lab(), ['unprovision', 'photos', '--confirm', 'photos'])
  for (const server of lab().servers) {
    expect(await leftOnServer(server)).toEqual([])
    const left = await server.run(
      'ls -d /etc/cloudvault /run/cloudvault/cv-* /etc/systemd/system/cv-* 2>/dev/null; nft list ruleset; ip netns; ls /sys/class/net | grep ^cv; dpkg -l stunnel4 wireguard-tools wireguard-go charon-systemd 2>/dev/null | grep ^ii; true',
    )
    expect(left.stdout).toBe('')
  }
})
