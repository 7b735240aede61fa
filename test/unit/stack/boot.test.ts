import { describe, expect, test } from 'vitest'
import type { Command } from '../../../src/host/host.ts'
import { bootSteps, placesOf, unitText } from '../../../src/stack/boot.ts'

/** The unit that brings a vault up at boot. */

const options = {
  vault: 'photos',
  mountAt: '/vault/100% photos',
  bringUp: ['/usr/bin/node', '/opt/cloud vault/$x/bin/cloudvault.js', 'up', '/etc/cloudvault/photos.yaml'],
  places: ['/var/lib/cloudvault/photos', '/opt/cloud vault'],
  credential: 'LoadCredentialEncrypted=cloudvault.photos:/etc/credstore.encrypted/cloudvault.photos',
}
const lines = unitText(options).split('\n')

describe('the unit that `enable` writes', () => {
  test('nothing in a path is expanded by systemd', () => {
    expect(lines).toContain(
      'ExecStart="/usr/bin/node" "/opt/cloud vault/$$x/bin/cloudvault.js" "up" "/etc/cloudvault/photos.yaml"',
    )
    expect(lines).toContain('Description=cloudvault photos at /vault/100%% photos')
    expect(lines).toContain('RequiresMountsFor="/var/lib/cloudvault/photos" "/opt/cloud vault"')
  })

  test('waits for the network, loads the passphrase, and tries again what may pass by itself', () => {
    expect(lines).toContain('After=network-online.target nss-lookup.target')
    expect(lines).toContain(options.credential)
    expect(lines).toContain('Restart=on-failure')
    const hopeless = lines.find((line) => line.startsWith('RestartPreventExitStatus=')) ?? ''
    expect(hopeless.split(/[= ]/).slice(1)).toEqual(['2', '3', '5', '8', '9', '70']) // not 4, 6, 7
  })

  test('has no view of its own: a mount made in there would be seen by nobody', () => {
    const own =
      /^(Protect|Private|Read(Only|Write)|Inaccessible|Temporary|BindPaths|DynamicUser|RootDirectory|MountFlags|SystemCall)/
    expect(lines.filter((line) => own.test(line))).toEqual([])
  })

  test('no dependency of it names the keeper, which systemd would then not let be made anew', () => {
    const naming = lines.filter((line) => line.includes('cv-photos-keeper'))
    expect(naming).toEqual(['ExecStop=/bin/sh -c "systemctl stop cv-photos-keeper.service || [ $$? = 5 ]"'])
  })

  test('counts as enabled only when systemd says the very word', async () => {
    const said = (stdout: string) => ({
      name: 'here',
      run: async (_: Command) => ({ code: stdout === 'enabled\n' ? 0 : 1, stdout, stderr: '' }),
    })
    for (const [word, is] of [
      ['enabled\n', 'present'],
      ['disabled\n', 'absent'],
      ['masked\n', 'absent'],
      ['', 'absent'],
    ] as const) {
      const [, enabled] = bootSteps(said(word), options)
      expect(await enabled?.probe()).toEqual({ is })
    }
  })

  test('what must be mounted before: the state, and where programs and profile are', () => {
    expect(placesOf(options.bringUp, '/var/lib/cloudvault/photos')).toEqual([
      '/var/lib/cloudvault/photos',
      '/usr/bin',
      '/opt/cloud vault/$x/bin',
      '/etc/cloudvault',
    ])
  })
})
