import { afterAll, beforeAll, expect } from 'vitest'
import { leftOnClient, leftOnServer, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'
import { copyPhotos, everyFileIsRight, status, vaultUp } from './work.ts'

/** What the machine itself does with a vault that is up, under systemd: reboots and sleeps. */

const lab = useLab({ servers: 2, init: 'systemd' })

/** What NetworkManager and its like do when the machine goes down; the lab's own network would stay. */
const network = `[Unit]
Before=network.target
Wants=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/usr/sbin/ip link set vec0 down
[Install]
WantedBy=multi-user.target
`

beforeAll(async () => {
  await lab().client.putFile('/etc/systemd/system/lab-network.service', network)
  await lab().client.run('systemctl enable --now lab-network.service')
  await vaultUp(lab(), { changes: [['patience: 30s', 'patience: 12s']] })
})

afterAll(async () => {
  await verb(lab(), ['down', 'photos'])
  expect(await leftOnClient(lab())).toEqual([])
  for (const server of lab().servers) expect(await leftOnServer(server)).toEqual([])
})

/** Files with fsync and files without, one after the other, until it is ended. Sums only of what is promised. */
const busy = `i=0; while :; do i=$((i+1))
  dd if=/dev/urandom of=/vault/photos/$1-$i bs=64k count=1 conv=fsync status=none || exit
  sha256sum /vault/photos/$1-$i >> /root/sums && sync /root/sums
  dd if=/dev/urandom of=/vault/photos/$1-dirty bs=1M count=4 status=none || exit; done`

/**
 * Reboots under two programs that write: a service, which systemd ends, and what a closed login left behind, which it
 * does not. @returns seconds from the keeper's start to its end, and the journal of that time
 */
const rebootInUse = async (name: string): Promise<{ seconds: number; journal: string }> => {
  const { client } = lab()
  await client.run('cat /tmp/sums >> /root/sums 2>/dev/null; rm -f /tmp/sums; true')
  await client.putFile('/root/busy.sh', busy)
  await client.run(`systemd-run --quiet --unit=busy-${name} sh /root/busy.sh service-${name}`)
  await client.run(`setsid sh /root/busy.sh left-${name} </dev/null >/dev/null 2>&1 & sleep 6`)
  await client.reboot()
  const { stdout } = await client.run('journalctl -b -1 --no-pager -o short-monotonic')
  const at = (what: string): number => {
    const line = stdout.split('\n').findLast((entry) => entry.includes(what)) ?? ''
    return Number(/^\[\s*([\d.]+)\]/.exec(line)?.[1])
  }
  const seconds = at('Stopped cv-photos-keeper.service') - at('Stopping cv-photos-keeper.service')
  expect(stdout).toContain('photos is down; everything that was written is on every server')
  expect(stdout).toContain('ending pid')
  expect(at('Unmounted vault-photos.mount')).toBeLessThan(at('Stopping lab-network.service'))
  expect(at('Stopped cv-photos-keeper.service')).toBeLessThan(at('Stopping lab-network.service'))
  await client.run('cp /root/sums /tmp/sums')
  return { seconds, journal: stdout }
}

drill(36, lab, async () => {
  const copied = await copyPhotos(lab())
  const byHand = await rebootInUse('one')
  // Taken down with proof: nothing is open, nothing is to be mended.
  const record = await lab().client.readFile('/var/lib/cloudvault/photos/record.json')
  expect(JSON.parse(record)).not.toHaveProperty('open')
  expect((await status(lab())).verdict).toBe('down')
  await verb(lab(), ['up', 'photos'])
  expect((await status(lab())).verdict).toBe('healthy')
  const files = await everyFileIsRight(lab())
  expect(files).toBeGreaterThan(copied)
  return `brought up by hand: taken down with proof in ${byHand.seconds.toFixed(0)} s while two programs wrote; ${files} files right`
})
