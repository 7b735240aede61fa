import { expect } from 'vitest'
import type { Lab } from '../../../lab/index.ts'

/** A client with systemd that is rebooted while programs write into its vault "photos", and what its journal says of it. */

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

/** From now on the client's network goes when the machine does. */
export const networkThatGoes = async ({ client }: Lab): Promise<void> => {
  await client.putFile('/etc/systemd/system/lab-network.service', network)
  await client.run('systemctl enable --now lab-network.service')
}

/** Files with fsync and files without, one after the other, until it is ended. Sums only of what is promised. */
const busy = `i=0; while :; do i=$((i+1))
  dd if=/dev/urandom of=/vault/photos/$1-$i bs=64k count=1 conv=fsync status=none || exit
  sha256sum /vault/photos/$1-$i >> /root/sums && sync /root/sums
  dd if=/dev/urandom of=/vault/photos/$1-dirty bs=1M count=4 status=none || exit; done`

export interface Reboot {
  /** From the keeper's turn to its end. */
  readonly seconds: number
  /** Seconds since that boot at which this was said last; NaN when it never was. */
  readonly at: (what: string) => number
  readonly journal: string
}

/**
 * Reboots under two programs that write: a service, which systemd ends, and what a closed login left behind, which it
 * does not. The vault was taken down with proof, before the network went.
 */
export const rebootInUse = async ({ client }: Lab, name: string): Promise<Reboot> => {
  await client.run('cat /tmp/sums >> /root/sums 2>/dev/null; rm -f /tmp/sums; true')
  await client.putFile('/root/busy.sh', busy)
  await client.run(`systemd-run --quiet --unit=busy-${name} sh /root/busy.sh service-${name}`)
  await client.run(`setsid sh /root/busy.sh left-${name} </dev/null >/dev/null 2>&1 & sleep 6`)
  await client.reboot()
  const { stdout: journal } = await client.run('journalctl -b -1 --no-pager -o short-monotonic')
  const at = (what: string): number => {
    const line = journal.split('\n').findLast((entry) => entry.includes(what)) ?? ''
    return Number(/^\[\s*([\d.]+)\]/.exec(line)?.[1])
  }
  const seconds = at('Stopped cv-photos-keeper.service') - at('Stopping cv-photos-keeper.service')
  expect(journal).toContain('photos is down; everything that was written is on every server')
  expect(journal).toContain('ending pid')
  expect(at('Unmounted vault-photos.mount')).toBeLessThan(at('Stopping lab-network.service'))
  expect(at('Stopped cv-photos-keeper.service')).toBeLessThan(at('Stopping lab-network.service'))
  await client.run('cp /root/sums /tmp/sums')
  return { seconds, at, journal }
}
