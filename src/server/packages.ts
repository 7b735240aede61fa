import { commandFailed, perform } from '../engine/action.ts'
import type { Action, CallAction, Finding, Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { Output } from '../host/host.ts'
import { carrierPrograms } from './carrier.ts'
import { run } from './files.ts'
import type { PackageManager } from './platform.ts'
import type { Site } from './site.ts'

/**
 * The programs a server needs, by one table. Only apt is tested. What was there before is left alone for ever; what
 * we install is written down, its dependencies included.
 */

/** Package that holds a program. */
const packages: Readonly<Record<PackageManager, Readonly<Record<string, readonly string[]>>>> = {
  apt: {
    'nbd-server': ['nbd-server'],
    nbdkit: ['nbdkit'],
    nft: ['nftables'],
    flock: ['util-linux'],
    stunnel: ['stunnel4'],
    wg: ['wireguard-tools'],
    'wireguard-go': ['wireguard-go'],
    ip: ['iproute2'],
    swanctl: ['strongswan-swanctl'],
    'charon-systemd': ['charon-systemd', 'libstrongswan-standard-plugins', 'libcharon-extra-plugins'],
  },
  dnf: {
    'nbd-server': ['nbd'],
    nbdkit: ['nbdkit-server', 'nbdkit-basic-plugins', 'nbdkit-basic-filters'],
    nft: ['nftables'],
    flock: ['util-linux'],
    stunnel: ['stunnel'],
    wg: ['wireguard-tools'],
    ip: ['iproute2'],
  },
  apk: {
    'nbd-server': ['nbd'],
    nbdkit: ['nbdkit'],
    nft: ['nftables'],
    flock: ['util-linux'],
    stunnel: ['stunnel'],
    wg: ['wireguard-tools'],
    ip: ['iproute2'],
  },
  zypper: {
    'nbd-server': ['nbd'],
    nbdkit: ['nbdkit'],
    nft: ['nftables'],
    flock: ['util-linux'],
    stunnel: ['stunnel'],
    wg: ['wireguard-tools'],
    ip: ['iproute2'],
  },
  pacman: {
    'nbd-server': ['nbd'],
    nbdkit: ['nbdkit'],
    nft: ['nftables'],
    flock: ['util-linux'],
    stunnel: ['stunnel'],
    wg: ['wireguard-tools'],
    ip: ['iproute2'],
  },
}

/** Commands that refresh the lists and install; the lists of a fresh server are often empty. */
const installers: Readonly<Record<PackageManager, (names: readonly string[]) => string[][]>> = {
  apt: (names) => [
    [...apt, 'update'],
    [...apt, '-y', '--no-install-recommends', 'install', ...names],
  ],
  dnf: (names) => [['dnf', '-y', 'install', ...names]],
  apk: (names) => [['apk', 'add', ...names]],
  zypper: (names) => [['zypper', '--non-interactive', 'install', '--no-recommends', ...names]],
  pacman: (names) => [['pacman', '-Sy', '--noconfirm', '--needed', ...names]],
}

const apt = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', '-o', 'DPkg::Lock::Timeout=300']

const removers: Readonly<Record<PackageManager, (names: readonly string[]) => string[]>> = {
  apt: (names) => [...apt, '-y', 'purge', ...names],
  dnf: (names) => ['dnf', '-y', 'remove', ...names],
  apk: (names) => ['apk', 'del', ...names],
  zypper: (names) => ['zypper', '--non-interactive', 'remove', ...names],
  pacman: (names) => ['pacman', '-R', '--noconfirm', ...names],
}

/** Milliseconds for a package manager: a slow mirror, or an unattended upgrade that holds the lock. */
const patience = 15 * 60_000

/** Looks which of them are missing: what is there is not installed again, for that could upgrade it. */
export const packagesStep = async (site: Site, usesNft: boolean): Promise<Step> => {
  const { member, host } = site
  const carrier = await carrierPrograms(host, member.link)
  const wanted = [member.server, 'flock', ...carrier, ...(usesNft ? ['nft'] : [])]
  const table = packages[site.platform.packageManager]
  const here = await Promise.all(wanted.map((program) => isThere(site, program)))
  const missing = wanted.filter((_, index) => !here[index])
  const names = [...new Set(missing.flatMap((program) => table[program] ?? []))]
  const commands = installers[site.platform.packageManager](names)
  const installed: string[] = []
  const { shared } = site
  return {
    name: 'packages',
    needs: [],
    probe: () => probePrograms(site, wanted),
    up: [
      ...missing.flatMap((program) => defaultServices[program] ?? []).map((unit) => maskDefault(site, unit)),
      ...commands.slice(0, -1).map((argv): Action => manage(site, argv, [0, 100])),
      noteWhatIsNew(site, commands.at(-1) ?? [], names, installed),
      shared.mark('packages', 'making', () => merged(shared.get('packages')?.what, installed)),
      ...commands.slice(-1).map((argv): Action => manage(site, argv, [0])),
      shared.mark('packages', 'made', () => merged(shared.get('packages')?.what, installed)),
    ],
    down: removal(site),
  }
}

const merged = (before: readonly string[] = [], more: readonly string[]): string[] => [
  ...new Set([...before, ...more]),
]

/** Takes away what we installed, unless something that came later needs it. */
const removal = (site: Site): Action[] => {
  const manager = site.platform.packageManager
  const names = site.shared.get('packages')?.what ?? []
  if (names.length === 0) return []
  const whole = removers[manager](names)
  if (manager !== 'apt') return [manage(site, whole, [0])]
  const asked = names.filter((name) => Object.values(packages.apt).flat().includes(name))
  return [
    {
      on: site.host,
      text: `${whole.join(' ')}   (without what other packages have come to need)`,
      call: async () => {
        for (const some of [names, asked]) {
          if (some.length > 0 && (await removesOnly(site, some))) {
            return perform(manage(site, removers.apt(some), [0]))
          }
        }
      },
    },
  ]
}

/** Whether apt would remove these and nothing else. */
const removesOnly = async (site: Site, names: readonly string[]): Promise<boolean> => {
  const output = await site.host.run({ argv: [...removers.apt(names), '--simulate'], deadline: patience })
  const gone = [...output.stdout.matchAll(/^(?:Purg|Remv) (\S+)/gm)].map((match) => match[1] ?? '')
  return output.code === 0 && gone.every((name) => names.includes(name))
}

const manage = (site: Site, argv: string[], ok: readonly number[]): Action => ({
  on: site.host,
  command: { argv, deadline: patience },
  ok,
  explain: (output: Output) =>
    new Fault(Exit.missing, `the server's package manager failed: ${argv.join(' ')}`, {
      member: site.host.name,
      detail: output.stderr || output.stdout,
      next: 'run the same command on the server and see what it wants',
    }),
})

const isThere = async (site: Site, program: string): Promise<boolean> => {
  const found = await site.host.run({ argv: ['sh', '-c', 'command -v "$1"', 'look', program] })
  if (found.code === 0) return true
  if (found.code === 127 || found.code === 1) return false // dash and bash say it differently
  throw new Fault(Exit.unreachable, `the server does not say whether it has ${program}`, {
    member: site.host.name,
    detail: found.stderr,
  })
}

/** Programs, not package names: what counts is that they can be called, whoever installed them. */
const probePrograms = async (site: Site, wanted: readonly string[]): Promise<Finding> => {
  for (const program of wanted) if (!(await isThere(site, program))) return { is: 'absent' }
  if (site.member.server === 'nbdkit' && !(await hasExportnameFilter(site))) {
    return {
      is: 'differs',
      found: 'nbdkit is there without its exportname filter, which keeps other sessions out',
    }
  }
  return { is: 'present', note: wanted.join(', ') }
}

const hasExportnameFilter = async (site: Site): Promise<boolean> => {
  const look =
    'd=$(nbdkit --dump-config | sed -n s/^filterdir=//p) && [ -e "$d/nbdkit-exportname-filter.so" ]'
  return (await site.host.run({ argv: ['sh', '-c', look] })).code === 0
}

/** Services that Debian's packages start by themselves. */
const defaultServices: Readonly<Record<string, string>> = {
  'nbd-server': 'nbd-server.service',
  'charon-systemd': 'strongswan.service',
}

/**
 * Masked before its package is installed, such a service never runs; one that is there already belongs to somebody
 * else and is left alone.
 */
const maskDefault = (site: Site, unit: string): CallAction => ({
  on: site.host,
  text: `systemctl mask ${unit}   (when the package is new: its own service must not run)`,
  call: async () => {
    const known = await site.host.run({ argv: ['systemctl', 'cat', unit] })
    if (known.code === 0) return
    if (known.code !== 1) throw commandFailed(site.host.name, ['systemctl', 'cat', unit], known)
    const masked = merged(site.shared.get('mask')?.what, [unit])
    await perform(site.shared.mark('mask', 'making', masked))
    await perform(run(site.host, 'systemctl', 'mask', unit))
    await perform(site.shared.mark('mask', 'made', masked))
  },
})

/** Asks apt what it would install, so that the dependencies can be taken away again; others: only what we name. */
const noteWhatIsNew = (
  site: Site,
  install: readonly string[],
  names: readonly string[],
  installed: string[],
): CallAction => ({
  on: site.host,
  text: 'note which packages are new',
  call: async () => {
    if (site.platform.packageManager !== 'apt') {
      installed.push(...names)
      return
    }
    const argv = [...install, '--simulate']
    const output = await site.host.run({ argv, deadline: patience })
    if (output.code !== 0) throw commandFailed(site.host.name, argv, output)
    const lines = output.stdout.matchAll(/^Inst ([a-z0-9][a-z0-9.+-]*(?::[a-z0-9]+)?) (?!\[)/gm)
    installed.push(...[...lines].map((line) => line[1] ?? ''))
  },
})
