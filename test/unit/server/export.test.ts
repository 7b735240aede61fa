import { describe, expect, test } from 'vitest'
import { exportText, unitText } from '../../../src/server/export.ts'
import { scriptedHost } from '../support/scripted-host.ts'
import { type SiteOptions, site } from '../support/site.ts'

const unit = async (options: SiteOptions = {}): Promise<string> =>
  unitText(await site(scriptedHost('fsn', []), options))

describe('the unit', () => {
  test('starts only under a lease, never at boot, and never by -d', async () => {
    const text = await unit()
    expect(text).toContain('ConditionPathExists=/run/cloudvault/cv-photos-fsn/lease')
    expect(text).not.toContain('[Install]')
    expect(text).toMatch(/ExecStart=nbd-server -C \S+ -p \S+\n/)
    expect(text).toContain('Type=forking')
    expect(text).toContain('KillMode=control-group')
  })

  test('over SSH it has no network; with a port it has, and the rule is loaded before it', async () => {
    expect(await unit()).toContain('PrivateNetwork=yes\nRestrictAddressFamilies=AF_UNIX\n')
    const plain = await unit({ member: { link: { kind: 'plain', port: 10809, clients: [] } } })
    expect(plain).not.toContain('PrivateNetwork')
    expect(plain).toContain('ExecStartPre=+/usr/local/lib/cloudvault/session guard cv-photos-fsn')
  })

  test('nbdkit serves the nonce alone', async () => {
    expect(await unit({ member: { server: 'nbdkit' } })).toContain(
      'nbdkit --foreground --unix=/run/cloudvault/cv-photos-fsn/export.sock --filter=exportname file ' +
        // biome-ignore lint/suspicious/noTemplateCurlyInString: systemd expands it
        '/srv/cloudvault/photos.img exportname-strict=true exportname=${NONCE}\n',
    )
  })

  test('may write the disk and its own run directory, nothing else', async () => {
    const text = await unit()
    expect(text).toContain('ProtectSystem=strict')
    expect(text.match(/^ReadWritePaths=.*$/gm)).toEqual([
      'ReadWritePaths=/srv/cloudvault/photos.img /run/cloudvault/cv-photos-fsn',
    ])
  })

  test('does not refuse the calls that the thread pool of nbd-server hangs without', async () => {
    expect(await unit()).not.toContain('~@resources')
  })

  test('a block device is opened to it alone', async () => {
    const text = await unit({ member: { disk: { kind: 'device', path: '/dev/disk/by-id/scsi-1' } } })
    expect(text).toContain('DevicePolicy=closed\nDeviceAllow=/dev/disk/by-id/scsi-1 rw\n')
    expect(text).not.toContain('PrivateDevices')
  })
})

test('the facts for the session script', async () => {
  const where = await site(scriptedHost('fsn', []), {
    member: { link: { kind: 'plain', port: 10809, clients: [] } },
  })
  expect(exportText(where, 'ufw')).toBe(
    'server nbd-server\ndisk /srv/cloudvault/photos.img\nlisten 10809\nfirewall ufw\n',
  )
})
