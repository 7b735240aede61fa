import { readFile, stat } from 'node:fs/promises'
import type { Finding, Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import { writeAtomic } from '../host/files.ts'
import type { Host, Output } from '../host/host.ts'

/**
 * The kernel modules the stack stands on, and the udev rule that keeps everybody else's hands off its devices.
 * Both are shared with the rest of the machine, so `down` leaves them.
 */

/** `max_part=0`: a partition scan would parse the provider's bytes. 32 devices: sixteen vaults of two members. */
const modules: readonly (readonly string[])[] = [
  ['nbd', 'nbds_max=32', 'max_part=0'],
  ['xts'],
  ['dm_crypt'],
  ['btrfs'],
]

const udevRule = '/run/udev/rules.d/59-cloudvault.rules'
/** No probing and no watching of nbd devices: their bytes come from somebody we do not trust. */
const udevText = `SUBSYSTEM=="block", KERNEL=="nbd*", ENV{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}="1", ENV{UDISKS_IGNORE}="1", OPTIONS+="nowatch"\n`

export const kernel = (local: Host): Step => ({
  name: 'kernel',
  needs: [],
  shared: true,
  probe: async () => {
    const [nbd, rule] = await Promise.all([there('/sys/module/nbd'), there(udevRule)])
    if (!nbd || !rule || !(await knowsBtrfs())) return { is: 'absent' }
    return knowsCrypt(await local.run({ argv: ['dmsetup', 'targets'] }))
  },
  up: [
    ...modules.map(([name = '', ...options]) => ({
      on: local,
      command: { argv: ['modprobe', name, ...options] },
      explain: (output: Output) => missingModule(name, output),
    })),
    { on: local, text: `write ${udevRule}`, call: () => writeAtomic(udevRule, udevText, 0o644) },
  ],
  down: [],
})

const there = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

const knowsBtrfs = async (): Promise<boolean> => /\tbtrfs$/m.test(await readFile('/proc/filesystems', 'utf8'))

/** Built in or loaded: sysfs would show only the latter. Exit 1 is a kernel without any device-mapper yet. */
const knowsCrypt = ({ code, stdout, stderr }: Output): Finding => {
  if (code !== 0 && code !== 1) return { is: 'unknown', why: `dmsetup targets ended with ${code}: ${stderr}` }
  return /^crypt\s/m.test(stdout) ? { is: 'present' } : { is: 'absent' }
}

const missingModule = (name: string, output: Output): Fault =>
  new Fault(Exit.missing, `the kernel module ${name} cannot be loaded`, {
    detail: output.stderr,
    stands: 'nothing was changed',
    next: 'install a kernel with all its modules (Debian: apt-get install linux-image-amd64; cloud and container kernels often lack them)',
  })
