import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { perform } from '../../../src/engine/action.ts'
import { LocalHost } from '../../../src/host/local.ts'
import { tunnelOf } from '../../../src/names.ts'
import { vaultPaths } from '../../../src/record/paths.ts'
import { ipsecServerScript, ipsecUnit } from '../../../src/server/carrier/ipsec.ts'
import { tlsUnit } from '../../../src/server/carrier/tls.ts'
import { wireguardScript, wireguardUnit } from '../../../src/server/carrier/wireguard.ts'
import { carrierPrograms, carrierStep } from '../../../src/server/carrier.ts'
import { exportText, unitText } from '../../../src/server/export.ts'
import { openingOf } from '../../../src/server/firewall/firewall.ts'
import { rules } from '../../../src/server/firewall/nftables.ts'
import { type ScriptedHost, scriptedHost } from '../support/scripted-host.ts'
import { site } from '../support/site.ts'

const link = { kind: 'tls', port: 10809, clients: [], auth: 'psk' } as const
const key = `cv-photos-fsn:${'5f'.repeat(32)}\n`
const digest = createHash('sha256').update(key).digest('hex')
const path = '/etc/cloudvault/cv-photos-fsn/tls.psk'

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cv-carrier-'))
  await mkdir(join(root, 'photos/links/fsn'), { recursive: true })
  await writeFile(join(root, 'photos/links/fsn/tls.psk'), key)
})
afterEach(() => rm(root, { recursive: true }))

const home = () => ({
  local: new LocalHost(process.env),
  paths: vaultPaths('photos', { CLOUDVAULT_STATE: root }),
})

const server = (unit: string | null, sum: string): ScriptedHost =>
  scriptedHost('fsn', [
    [/ read .*cv-photos-fsn-link\.service/, unit === null ? { code: 44 } : { stdout: unit }],
    ['sha256sum', { stdout: `${sum}  ${path}\n` }],
    [/.*/, {}],
  ])

describe('the far end of a TLS link', () => {
  test('its unit starts only under a lease, behind the firewall, and has the key alone handed to it', async () => {
    const text = tlsUnit(await site(scriptedHost('fsn', []), { member: { link } }), link)
    expect(text).toContain('ConditionPathExists=/run/cloudvault/cv-photos-fsn/lease')
    expect(text).toContain('ExecStartPre=+/usr/local/lib/cloudvault/session shield cv-photos-fsn')
    expect(text.match(/^LoadCredential=.*$/gm)).toEqual([`LoadCredential=tls.psk:${path}`])
    expect(text).not.toContain('[Install]')
    expect(text).toContain('PrivateUsers=yes')
  })

  test('a port below 1024 costs one capability', async () => {
    const text = tlsUnit(await site(scriptedHost('fsn', []), { member: { link } }), { ...link, port: 443 })
    expect(text.match(/^CapabilityBoundingSet=.*$/gm)).toEqual(['CapabilityBoundingSet=CAP_NET_BIND_SERVICE'])
    expect(text).not.toContain('PrivateUsers')
  })

  test('the export stays on its socket', async () => {
    const text = exportText(await site(scriptedHost('fsn', []), { member: { link } }), 'nftables')
    expect(text).toContain('listen unix\nfirewall nftables\ncarrier tls 10809 psk\n')
  })

  test('absent, present, and a key that is not ours', async () => {
    const unit = tlsUnit(await site(scriptedHost('fsn', []), { member: { link } }), link)
    const finding = async (host: ScriptedHost) =>
      (await carrierStep(await site(host, { member: { link } }), home()).probe()).is
    expect(await finding(server(null, digest))).toBe('absent')
    expect(await finding(server(unit, digest))).toBe('present')
    expect(await finding(server(unit, 'ab'.repeat(32)))).toBe('differs')
    expect(await finding(server('old', digest))).toBe('differs')
  })

  test('the key goes in by stdin, for root alone, and is in no command', async () => {
    const host = server(null, digest)
    for (const action of carrierStep(await site(host, { member: { link } }), home()).up) await perform(action)
    expect(host.lines.join('\n')).not.toContain('5f5f')
    const put = host.commands.find(({ argv }) => argv.includes(path))
    expect(put?.argv).toContain('0600')
    expect(`${put?.input}`).toBe('[secret]')
  })

  test('an older link is taken away when the profile has none any more', async () => {
    const host = scriptedHost('fsn', [[/.*/, {}]])
    const step = carrierStep(await site(host, { own: { link: ['/etc/systemd/system/x', path] } }), home())
    expect((await step.probe()).is).toBe('differs')
    for (const action of step.mend ?? []) await perform(action)
    expect(host.lines).toContain(`rm -f -- /etc/systemd/system/x ${path}`)
  })
})

describe('the far end of a WireGuard tunnel', () => {
  const tunnel = { kind: 'wireguard', port: 51820 } as const

  test('the export serves in a namespace of its own, and nowhere else', async () => {
    const where = await site(scriptedHost('fsn', []), { member: { link: tunnel } })
    expect(exportText(where, 'none')).toContain('listen 10809\nfirewall none\ncarrier wireguard 51820\n')
    expect(unitText(where)).toContain('NetworkNamespacePath=/run/netns/cv-photos-fsn\n')
  })

  test('its script has its facts at the top, and is a script', async () => {
    const where = await site(scriptedHost('fsn', []), { member: { link: tunnel } })
    const text = wireguardScript(where, tunnel)
    const { device, server, client } = tunnelOf('photos', 'fsn')
    expect(device).toMatch(/^cv[0-9a-f]{8}$/)
    expect(text).toContain(`\ndevice=${device}\n`)
    expect(text).toContain(`\nown=${server}\npeer=${client}\n`)
    expect(text).toContain('\nendpoint=\n')
    expect((await new LocalHost(process.env).run({ argv: ['sh', '-n'], input: text })).code).toBe(0)
  })

  test.each([
    [51820, 'CAP_NET_ADMIN'],
    [443, 'CAP_NET_ADMIN CAP_NET_BIND_SERVICE'],
  ])('its engine on port %i is no root, and has the right %s alone', async (port, rights) => {
    const where = await site(scriptedHost('fsn', []), { member: { link: tunnel } })
    const texts = [
      wireguardUnit(where, { kind: 'wireguard', port }),
      ipsecUnit(where, { kind: 'ipsec', port, clients: [] }),
    ]
    for (const text of texts) {
      expect(text).toContain('User=cloudvault\n')
      expect(text.match(/^CapabilityBoundingSet=.*$/gm)).toEqual([`CapabilityBoundingSet=${rights}`])
      expect(text.match(/^AmbientCapabilities=.*$/gm)).toEqual([`AmbientCapabilities=${rights}`])
      expect(text).toContain('ConditionPathExists=/run/cloudvault/cv-photos-fsn/lease')
      expect(text).not.toContain('[Install]')
    }
    // charon gives up rights by a call that the others may not make.
    expect(texts.map((text) => text.includes('SystemCallFilter=~@privileged'))).toEqual([true, false])
  })

  test('wireguard-go is asked for only where the kernel has none', async () => {
    const kernel = (code: number) => scriptedHost('fsn', [[/ip link add/, { code }]])
    expect(await carrierPrograms(kernel(0), tunnel)).toEqual(['wg', 'ip'])
    expect(await carrierPrograms(kernel(1), tunnel)).toContain('wireguard-go')
  })
})

describe('the far end of an IPsec tunnel', () => {
  const tunnel = { kind: 'ipsec', port: 4500, clients: [] } as const
  const where = () => site(scriptedHost('fsn', []), { member: { link: tunnel }, clients: ['203.0.113.7'] })
  const inside = tunnelOf('photos', 'fsn')
  const { server } = inside

  test('the export listens at the address inside, and nowhere else', async () => {
    const text = exportText(await where(), 'nftables')
    expect(text).toContain(`listen 10809\nfirewall nftables\ncarrier ipsec 4500\naddress ${server}\n`)
    const kit = await site(scriptedHost('fsn', []), { member: { link: tunnel, server: 'nbdkit' } })
    expect(unitText(kit)).toContain(`--port=10809 --ipaddr=${server} `)
  })

  test('its script is one, and names no key', async () => {
    const text = ipsecServerScript(await where(), tunnel)
    expect(text).toContain('\nside=server\nid=cv-photos-fsn\n')
    expect(text).toContain('\nlisten=4500\nidle=24500\n')
    expect(text).toContain('\nendpoint=\n')
    expect(text).toContain('\nsecret=/etc/cloudvault/cv-photos-fsn/ipsec.secret\n')
    expect((await new LocalHost(process.env).run({ argv: ['sh', '-n'], input: text })).code).toBe(0)
  })

  test('past the tunnel nobody comes in: neither to its address nor to the port that strongSwan does not use', () => {
    const opening = openingOf(tunnel, ['203.0.113.7'], inside)
    const lines = rules('t', opening ?? { protocol: 'tcp', port: 1, from: [] })
    expect(lines).toContain('udp dport 4500 ip saddr { 203.0.113.7 } accept\n    udp dport 4500 drop\n')
    expect(lines).toContain(
      `udp dport 24500 drop\n    ip6 daddr ${server} iifname != "ipsec*" meta ipsec missing drop\n`,
    )
  })
})
