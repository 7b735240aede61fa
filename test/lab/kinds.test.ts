import { describe, expect, test } from 'vitest'
import { labProfile, leftOnClient, nothingLeft, useLab, verb } from './support.ts'

/**
 * The other ways a member can be served and reached, and a client that runs systemd: one mirror of nbdkit over SSH
 * and nbd-server over the plain link, in transient units.
 */
const lab = useLab({ servers: 2, init: 'systemd', bystander: true })

const status = async () => JSON.parse((await verb(lab(), ['status', 'photos', '--json'])).stdout)
const members = (report: { members: { mirror: string }[] }): string[] =>
  report.members.map((member) => member.mirror)

describe('nbdkit over SSH and nbd-server over the plain link, under systemd', () => {
  test('provision and create', async () => {
    const second = '    disk: { file: /srv/cloudvault/photos.img, size: 512MiB }\n    link: ssh'
    await labProfile(lab(), {
      changes: [
        ['    link: ssh                     #', '    server: nbdkit\n    link: ssh                     #'],
        [second, second.replace('link: ssh', 'link: { plain: { port: 10809 } }')],
      ],
    })
    await verb(lab(), ['provision', 'photos'])
    const created = await verb(lab(), ['create', 'photos', '--confirm', 'photos', '--json'])
    expect(JSON.parse(created.stdout)).toMatchObject({ schema: 'cloudvault.create/1', vault: 'photos' })
  })

  test('up makes transient units, and both members are in sync', async () => {
    await verb(lab(), ['up', 'photos'])
    const units = await lab().client.run("systemctl list-units --plain --no-legend 'cv-photos-*'")
    expect(units.stdout).toMatch(/cv-photos-fsn-link\.service\s+loaded active running/)
    expect(units.stdout).toMatch(/cv-photos-monitor\.service\s+loaded active running/)
    const report = await status()
    expect(report.verdict).toBe('healthy')
    expect(members(report)).toEqual(['in sync', 'in sync'])
    expect((await lab().server('fsn').run('pgrep -c -x nbdkit')).stdout.trim()).not.toBe('0')
  })

  test('the open port lets the client in and a stranger not', async () => {
    const { address } = lab().server('gra')
    expect((await lab().bystander?.reach(address, 10809))?.reach).not.toBe('open')
  })

  test('both servers die under a writer, one after the other, and come back: no error', async () => {
    const writer = lab().client.start(
      'fio --name=w --directory=/vault/photos --rw=randwrite --bs=16k --size=16m --fsync=8 --time_based --runtime=30 --verify=crc32c --verify_fatal=1 --do_verify=1',
    )
    await lab().client.run('sleep 4')
    await lab().server('fsn').run('systemctl kill --signal=KILL cv-photos-fsn.service')
    await lab().client.run('sleep 14')
    await lab().server('gra').run('systemctl kill --signal=KILL cv-photos-gra.service')
    const ended = await writer.wait()
    expect(`${ended.code} ${ended.stdout}${ended.stderr}`).toMatch(/^0 [\s\S]*err= 0/)
    expect((await status()).verdict).toBe('healthy')
  })

  test('down leaves no unit, no device, no port', async () => {
    await verb(lab(), ['down', 'photos'])
    const units = await lab().client.run("systemctl list-units --all --plain --no-legend 'cv-*'")
    expect(units.stdout.trim()).toBe('')
    await nothingLeft(lab())
  })

  test('a client that is cut off while the vault is up finds it again after its reboot', async () => {
    await verb(lab(), ['up', 'photos'])
    await lab().client.run('echo survived > /vault/photos/note && sync /vault/photos/note')
    await lab().client.kill()
    await lab().client.boot()
    await verb(lab(), ['up', 'photos'])
    expect((await lab().client.run('cat /vault/photos/note')).stdout).toBe('survived\n')
    await verb(lab(), ['down', 'photos'])
    expect(await leftOnClient(lab())).toEqual([])
  })
})
