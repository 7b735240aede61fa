import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab, LabServer } from '../index.ts'
import type { FaultKind, PlannedFault } from './plan.ts'

/** How each kind of fault is brought about, and how the soak knows that the vault has got over it. */

/** Above: parking, a reboot and a resilver on a busy machine. */
const recoveryMs = 240_000
const longMs = 120_000

/** Does it, and returns when both members are whole again. @throws Error when they are not in time */
export const bring = async (lab: Lab, fault: PlannedFault): Promise<void> => {
  await doers[fault.kind](lab, lab.server(fault.member), fault.seconds * 1000)
  await until(lab, 'both members whole', whole, recoveryMs)
}

const doers: Record<FaultKind, (lab: Lab, server: LabServer, ms: number) => Promise<void>> = {
  'kill the export': async (_, server) => {
    await server.run(`systemctl kill --signal=KILL cv-photos-${server.name}.service`)
  },
  'freeze shortly': (_, server, ms) => frozen(server, () => sleep(ms)),
  'cut the link shortly': async (_, server, ms) => {
    await server.cutLink()
    await sleep(ms).finally(() => server.restoreLink())
  },
  'kill the pump': async (lab, server) => {
    await lab.client.run(`kill -9 $(pgrep -f '^ssh -N .*/${server.name}[.]sock:')`)
  },
  'kill the monitor': async (lab) => {
    await lab.client.run("kill -9 $(pgrep -f '^/host[^ ]* [^ ]*cloudvault.js monitor')")
  },
  'slow link': async (_, server, ms) => {
    await server.shape({ delayMs: 150, mbit: 8 })
    await sleep(ms * 2).finally(() => server.shape(null))
  },
  'change my address': async (lab) => {
    const here = lab.client.address
    await lab.client.setAddress(here.endsWith('.2') ? '10.77.0.62' : '10.77.0.2')
  },
  'freeze past patience': (lab, server) =>
    frozen(server, () => until(lab, `${server.name} parked`, parked(server.name), longMs)),
  reboot: async (lab, server) => {
    await server.reboot()
    await until(lab, `${server.name} parked`, parked(server.name), longMs)
  },
}

const frozen = async (server: LabServer, meanwhile: () => Promise<unknown>): Promise<void> => {
  await server.freeze()
  try {
    await meanwhile()
  } finally {
    await server.thaw()
  }
}

/** The record says so from the moment a member is parked until its copy is proved equal again. */
const parked = (member: string): string =>
  `grep -A3 '"resilver"' /var/lib/cloudvault/photos/record.json | grep -q ${member}`

/** Nothing is parked, nothing waits to be mended, and each member answers a read past every cache. */
const whole = `! ls /run/cloudvault/photos/*-park.pid >/dev/null 2>&1 &&
  ! grep -q '"resilver"' /var/lib/cloudvault/photos/record.json &&
  for d in /sys/block/nbd*; do [ -e $d/pid ] || continue
    timeout 60 dd if=/dev/$(basename $d) of=/dev/null bs=4k count=1 skip=$(($(date +%s) % 50000)) iflag=direct status=none || exit 1; done`

const until = async (lab: Lab, what: string, script: string, ms: number): Promise<void> => {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(500)) {
    if ((await lab.client.run(script, { allowFail: true })).code === 0) return
  }
  const log = await lab.client.run('tail -n 8 /run/cloudvault/photos/cv-photos-monitor.pid.log', {
    allowFail: true,
  })
  throw new Error(`not ${what} after ${ms / 1000} s; the monitor said:\n${log.stdout}`)
}
