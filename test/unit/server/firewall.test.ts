import { describe, expect, test } from 'vitest'
import { perform } from '../../../src/engine/action.ts'
import type { RemoteHost } from '../../../src/host/ssh.ts'
import { iptablesChain, tunnelOf } from '../../../src/names.ts'
import { detectFirewall } from '../../../src/server/firewall/backend.ts'
import { chooseFirewall, firewallStep } from '../../../src/server/firewall/firewall.ts'
import { parseZones } from '../../../src/server/firewall/firewalld.ts'
import { iptablesScript } from '../../../src/server/firewall/iptables.ts'
import { rules } from '../../../src/server/firewall/nftables.ts'
import { listens } from '../../../src/server/forwarding.ts'
import { scriptedHost } from '../support/scripted-host.ts'
import { member, site } from '../support/site.ts'

const link = { kind: 'plain', port: 10809, clients: [] } as const
const verbose = (policy: string): string =>
  `Status: active\nDefault: ${policy} (incoming), allow (outgoing)\n`
const rule = (from: string, port = 10809, comment = 'cv-photos-fsn'): string =>
  `ufw allow from ${from} to any port ${port} proto tcp comment '${comment}'\n`
const ufw = (added: string, policy = 'deny') =>
  scriptedHost('fsn', [
    ['ufw show added', { stdout: `Added user rules:\nufw allow 22/tcp\n${added}` }],
    ['ufw status verbose', { stdout: verbose(policy) }],
    [/.*/, {}],
  ])

describe('detectFirewall', () => {
  const server = (matching: string) =>
    scriptedHost('fsn', [
      [matching, {}],
      [/.*/, { code: 1 }],
    ])

  test('plain nftables unless something else rules', async () => {
    expect(await detectFirewall(server('nothing'))).toBe('nftables')
    expect(await detectFirewall(server('ufw status'))).toBe('ufw')
    expect(await detectFirewall(server('firewall-cmd --state'))).toBe('firewalld')
    expect(await detectFirewall(server('iptables -w 10 -S INPUT'))).toBe('iptables')
  })

  test.each(['iptables-legacy', 'hook input .*policy drop'])(
    '%s: refused with words, exit 3',
    async (matching) => {
      await expect(detectFirewall(server(matching))).rejects.toMatchObject({ exit: 3 })
    },
  )

  test('a failed look is not a no', async () => {
    const lost = scriptedHost('fsn', [[/.*/, { code: null }]])
    await expect(detectFirewall(lost)).rejects.toMatchObject({ exit: 4 })
  })
})

test('the profile names a firewall that the server does not run: exit 3, with both names', async () => {
  const host = scriptedHost('fsn', [
    ['ufw status', {}],
    [/.*/, { code: 1 }],
  ]) as unknown as RemoteHost
  const choose = (firewall?: 'ufw' | 'iptables') =>
    chooseFirewall(host, member({ link, ...(firewall ? { firewall } : {}) }))
  expect(await choose()).toBe('ufw')
  expect(await choose('ufw')).toBe('ufw')
  const words = 'the profile says firewall: iptables, and ufw rules there'
  await expect(choose('iptables')).rejects.toMatchObject({ exit: 3, message: words })
})

describe('nftables', () => {
  test('lets clients of both families in and drops the rest of the port, nothing else', () => {
    expect(
      rules('cv_photos_fsn', { protocol: 'tcp', port: 10809, from: ['203.0.113.7', '2001:db8::/64'] }),
    ).toBe(`table inet cv_photos_fsn
delete table inet cv_photos_fsn
table inet cv_photos_fsn {
  chain input {
    type filter hook input priority -200; policy accept;
    tcp dport 10809 ip saddr { 203.0.113.7 } accept
    tcp dport 10809 ip6 saddr { 2001:db8::/64 } accept
    tcp dport 10809 drop
  }
}
`)
  })
})

describe('ufw', () => {
  const step = async (host: ReturnType<typeof ufw>, clients = ['203.0.113.7']) =>
    firewallStep(await site(host, { member: { link }, clients }), 'ufw')

  test('absent, present, differs', async () => {
    expect((await (await step(ufw(''))).probe()).is).toBe('absent')
    expect((await (await step(ufw(rule('203.0.113.7')))).probe()).is).toBe('present')
    expect((await (await step(ufw(rule('203.0.113.9')))).probe()).is).toBe('differs')
    expect((await (await step(ufw(rule('203.0.113.7', 10810)))).probe()).is).toBe('differs')
  })

  test('a changed address: the new one is let in, then the old rule goes; other rules are not touched', async () => {
    const host = ufw(rule('203.0.113.9') + rule('203.0.113.9', 10809, 'cv-other-fsn'))
    const mend = (await step(host)).mend ?? []
    for (const action of mend) await perform(action)
    expect(host.lines.filter((line) => /^ufw (allow|--force)/.test(line))).toEqual([
      'ufw allow from 203.0.113.7 to any port 10809 proto tcp comment cv-photos-fsn',
      'ufw --force delete allow from 203.0.113.9 to any port 10809 proto tcp',
    ])
  })

  test('a default that lets everything in protects nothing: exit 3', async () => {
    await expect((await step(ufw('', 'allow'))).probe()).rejects.toMatchObject({ exit: 3 })
  })

  test('a rule of somebody else that opens the port: exit 5', async () => {
    await expect((await step(ufw('ufw allow 10809\n'))).probe()).rejects.toMatchObject({ exit: 5 })
  })
})

describe('iptables', () => {
  const four = ['203.0.113.7', '198.51.100.0/28']
  const file = '/etc/cloudvault/cv-photos-fsn/firewall.sh'
  const text = async (from: readonly string[] | 'anybody'): Promise<string> =>
    iptablesScript(await site(scriptedHost('fsn', [])), { protocol: 'tcp', port: 10809, from })
  const answering = (found: string | null, checked: number) =>
    scriptedHost('fsn', [
      [/exit 44/, found === null ? { code: 44 } : { stdout: found }],
      [/check$/, { code: checked }],
      [/.*/, {}],
    ])
  const probe = async (host: ReturnType<typeof answering>, clients = four): Promise<string> =>
    (await (await firewallStep(await site(host, { member: { link }, clients }), 'iptables')).probe()).is

  test('the script knows the clients of each family, and who may come when everybody may', async () => {
    expect(await text([...four, '2001:db8::/64'])).toContain(
      "chain=cv-photos-fsn\nname=cv-photos-fsn\nprotocol=tcp\nport=10809\nfour='203.0.113.7 198.51.100.0/28'\nsix=2001:db8::/64\nanybody=no\n",
    )
    expect(await text('anybody')).toContain('four=\nsix=\nanybody=yes\n')
  })

  test('absent, present, differs, unknown', async () => {
    expect(await probe(answering(null, 0))).toBe('absent')
    expect(await probe(answering(await text(four), 0))).toBe('present')
    expect(await probe(answering(await text(four), 1))).toBe('absent')
    expect(await probe(answering(await text(four), 4))).toBe('unknown')
    expect(await probe(answering(await text(['203.0.113.9']), 0))).toBe('differs')
  })

  test('a name is never longer than iptables takes', () => {
    expect(iptablesChain('photos', 'fsn')).toBe('cv-photos-fsn')
    const long = iptablesChain('v'.repeat(24), 'm'.repeat(16))
    expect(long).toMatch(/^cv-[0-9a-f]{16}$/)
    expect(iptablesChain('v'.repeat(24), `${'m'.repeat(15)}n`)).not.toBe(long)
  })

  test('is taken away by the script that we send, before another firewall is told anything', async () => {
    const host = ufw('')
    const where = await site(host, { member: { link }, clients: four, own: { firewall: [file] } })
    for (const action of (await firewallStep(where, 'ufw')).up) await perform(action)
    const remove = host.lines.indexOf('sh -s remove')
    expect(remove).toBeGreaterThan(-1)
    expect(remove).toBeLessThan(host.lines.findIndex((line) => line.startsWith('ufw allow')))
    expect(host.lines).toContain(`rm -f -- ${file}`)
    expect((await firewallStep(await site(ufw(''), { member: { link } }), 'none')).down).toEqual([])
  })
})

describe('firewalld', () => {
  const rich = (from: string, port = 10809): string =>
    `rule family="${from.includes(':') ? 'ipv6' : 'ipv4'}" source address="${from}" port port="${port}" protocol="tcp" accept`
  const zones = (now: readonly string[], kept = now): string =>
    [
      '= default\npublic\n= now',
      'drop\n  target: DROP\n  rich rules: \n',
      `public\n  services: ssh\n  rich rules: \n${now.map((rule) => `\t${rule}\n`).join('')}`,
      'work (active)\n  target: default\n  interfaces: eth1\n= kept',
      `public\n  rich rules: \n${kept.map((rule) => `\t${rule}\n`).join('')}`,
    ].join('\n')
  const host = (said: string) =>
    scriptedHost('fsn', [
      ['list-all-zones', { stdout: said }],
      [/.*/, {}],
    ])
  const commands = ({ lines }: ReturnType<typeof host>): string[] =>
    lines.filter((line) => /^firewall-(offline-)?cmd /.test(line))
  const nft = '/etc/cloudvault/cv-photos-fsn/firewall.nft'

  test('zones in use are the default and the active ones; what stands is read in both configurations', () => {
    const found = parseZones(zones([rich('203.0.113.7')], []))
    expect(found.running).toBe(true)
    expect(found.inUse).toEqual(['public', 'work'])
    expect(found.standing).toEqual([{ zone: 'public', scope: 'now', rule: rich('203.0.113.7') }])
    expect(
      parseZones('= kept\npublic (default)\n\trule priority="-1" port port="1" protocol="tcp" accept\n'),
    ).toEqual({
      running: false,
      inUse: [],
      standing: [
        { zone: 'public', scope: 'kept', rule: 'rule priority="-1" port port="1" protocol="tcp" accept' },
      ],
    })
  })

  test('a changed address: shut first, the new one let in, then the old rule goes; no reload, others stay', async () => {
    const server = host(zones([rich('203.0.113.9'), rich('198.51.100.9')]))
    const own = { firewall: [nft, 'tcp 10809 from 203.0.113.9'] }
    const step = await firewallStep(
      await site(server, { member: { link }, clients: ['203.0.113.7', '2001:db8::7'], own }),
      'firewalld',
    )
    for (const action of step.mend ?? []) await perform(action)
    const wanted = ['203.0.113.7', '2001:db8::7']
    expect(commands(server)).toEqual([
      ...['public', 'work'].flatMap((zone) =>
        ['firewall-cmd', 'firewall-cmd --permanent'].flatMap((tool) =>
          wanted.map((from) => `${tool} --zone=${zone} '--add-rich-rule=${rich(from)}'`),
        ),
      ),
      `firewall-cmd --zone=public '--remove-rich-rule=${rich('203.0.113.9')}'`,
      `firewall-cmd --permanent --zone=public '--remove-rich-rule=${rich('203.0.113.9')}'`,
    ])
    expect(server.lines.indexOf(`nft -f ${nft}`)).toBeLessThan(
      server.lines.findIndex((line) => line.startsWith('firewall-cmd')),
    )
  })

  test('a tunnel that answers nobody without a key: open to everybody, no table of ours', async () => {
    const server = host(zones([]))
    const where = await site(server, { member: { link: { kind: 'wireguard', port: 51820 } } })
    const step = await firewallStep(where, 'firewalld')
    for (const action of step.up) await perform(action)
    expect(server.lines.join()).not.toContain('nft')
    expect(commands(server)[0]).toBe(
      `firewall-cmd --zone=public '--add-rich-rule=rule port port="51820" protocol="udp" accept'`,
    )
    expect(where.own.get('firewall')?.what).toEqual(['udp 51820 from any'])
  })

  test('when it does not run, ours is taken out of its files', async () => {
    const server = host(`= kept\npublic\n\t${rich('203.0.113.7')}\n\t${rich('203.0.113.8')}\n`)
    const own = { firewall: [nft, 'tcp 10809 from 203.0.113.7'] }
    for (const action of (await firewallStep(await site(server, { own }), 'none')).down) await perform(action)
    expect(commands(server)).toEqual([
      `firewall-offline-cmd --zone=public '--remove-rich-rule=${rich('203.0.113.7')}'`,
    ])
    expect(server.lines.join()).toContain('nft delete table')
  })
})

describe('link ssh', () => {
  test('makes no rule, and says so', async () => {
    const host = scriptedHost('fsn', [['ufw show added', {}]])
    const step = await firewallStep(await site(host), 'none')
    expect(await step.probe()).toEqual({ is: 'present', note: expect.stringContaining('no port is opened') })
    expect(step.up).toEqual([])
  })

  test('takes away the rule that an older profile needed', async () => {
    const host = scriptedHost('fsn', [[/.*/, {}]])
    const own = { firewall: ['/etc/cloudvault/cv-photos-fsn/firewall.nft'] }
    const step = await firewallStep(await site(host, { own }), 'none')
    expect((await step.probe()).is).toBe('differs')
    for (const action of step.mend ?? []) await perform(action)
    expect(
      host.lines.some((line) => line.includes('nft delete table') && line.endsWith('cv_photos_fsn')),
    ).toBe(true)
    expect((await step.probe()).is).toBe('present')
  })
})

describe('listens', () => {
  const table = `  sl  local_address rem_address   st tx_queue
   0: 00000000:0016 00000000:0000 0A 0
   1: 0100007F:2A39 0100007F:1234 01 0
   2: 00000000000000000000000000000000:2A3A 00000000000000000000000000000000:0000 0A 0
`
  test.each([
    [22, true],
    [10809, false],
    [10810, true],
    [0x1234, false],
  ])('port %i: %s', (port, expected) => expect(listens(table, port)).toBe(expected))
})

describe('IPsec behind a firewall that keeps everybody out', () => {
  const tunnel = { link: { kind: 'ipsec', port: 4500, clients: [] } } as const
  const { server, client } = tunnelOf('photos', 'fsn')
  const nft = '/etc/cloudvault/cv-photos-fsn/firewall.nft'
  const told = async (firewall: 'ufw' | 'firewalld' | 'iptables') => {
    const host = scriptedHost('fsn', [
      ['command -v firewall-cmd', { stdout: '= default\npublic\n= now\npublic\n= kept\npublic\n' }],
      [/.*/, {}],
    ])
    const where = await site(host, { member: tunnel, clients: ['203.0.113.7'] })
    for (const action of (await firewallStep(where, firewall)).up) await perform(action)
    const inputs = host.commands.map(({ input }) => String(input)).join()
    return { lines: host.lines, inputs, what: where.own.get('firewall')?.what ?? [] }
  }

  test.each(['ufw', 'firewalld', 'iptables'] as const)(
    '%s: our table drops what comes past it',
    async (kind) => {
      const { lines, inputs, what } = await told(kind)
      expect(what).toContain(nft)
      expect(inputs).toContain(`ip6 daddr ${server} iifname != "ipsec*" meta ipsec missing drop`)
      const shut = lines.indexOf(`nft -f ${nft}`)
      const open = lines.findIndex((line) =>
        /^(ufw allow|firewall-cmd --zone|sh .*firewall.sh load)/.test(line),
      )
      expect([shut >= 0, open > shut]).toEqual([true, true])
    },
  )

  test('what comes out of the tunnel is let in as well, by the rules of each', async () => {
    expect((await told('ufw')).lines).toEqual(
      expect.arrayContaining([
        'ufw allow from 203.0.113.7 to any port 4500 proto udp comment cv-photos-fsn',
        `ufw allow from ${client} to any port 10809 proto tcp comment cv-photos-fsn`,
      ]),
    )
    expect((await told('firewalld')).what).toEqual([
      nft,
      'udp 4500 from 203.0.113.7',
      `tcp 10809 from ${client}`,
    ])
    expect((await told('iptables')).inputs).toContain(
      `four=203.0.113.7\nsix=${client}\nanybody=no\ninside=${client}\nexport=10809\n`,
    )
  })
})
