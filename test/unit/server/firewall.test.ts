import { describe, expect, test } from 'vitest'
import { perform } from '../../../src/engine/action.ts'
import { detectFirewall } from '../../../src/server/firewall/backend.ts'
import { firewallStep } from '../../../src/server/firewall/firewall.ts'
import { rules } from '../../../src/server/firewall/nftables.ts'
import { listens } from '../../../src/server/forwarding.ts'
import { scriptedHost } from '../support/scripted-host.ts'
import { site } from '../support/site.ts'

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
  })

  test.each(['firewall-cmd --state', 'iptables-legacy', 'hook input .*policy drop'])(
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
