import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'

/**
 * What kind of machine a server is. Everything read here was written by somebody we do not trust: it is matched
 * against what we know and otherwise shown, never executed.
 */

export type PackageManager = 'apt' | 'dnf' | 'apk' | 'zypper' | 'pacman'

export interface Platform {
  /** "Debian GNU/Linux 12 (bookworm)": for a person. */
  readonly name: string
  readonly packageManager: PackageManager
  /** `uname -m`: "x86_64", "aarch64", … */
  readonly architecture: string
  readonly bootId: string
}

/** os-release ID or ID_LIKE → package manager. Only apt is tested; the others follow the same table. */
const managers: ReadonlyMap<string, PackageManager> = new Map(
  Object.entries({
    debian: 'apt',
    ubuntu: 'apt',
    fedora: 'dnf',
    rhel: 'dnf',
    centos: 'dnf',
    alpine: 'apk',
    suse: 'zypper',
    opensuse: 'zypper',
    arch: 'pacman',
  } as const),
)

/** @throws Fault 3 when it is no Linux with systemd, or one whose package manager we do not know */
export const readPlatform = async (host: Host): Promise<Platform> => {
  const [bootId = '', architecture = '', systemd = '', ...rest] = (await look(host)).split('\n')
  const release = parseOsRelease(rest.join('\n'))
  const name = release.get('PRETTY_NAME') ?? release.get('ID') ?? 'an unknown system'
  if (systemd !== 'systemd') {
    throw new Fault(Exit.missing, `${name} does not run systemd, which keeps the export in bounds`, {
      member: host.name,
      next: 'use a server that runs systemd',
    })
  }
  const ids = [release.get('ID') ?? '', ...(release.get('ID_LIKE') ?? '').split(/\s+/)]
  const packageManager = ids
    .map((id) => managers.get(id.replace(/-.*$/, '')))
    .find((found) => found !== undefined)
  if (!packageManager) {
    throw new Fault(Exit.missing, `no package manager is known for ${name}`, {
      member: host.name,
      next: 'install nbd-server by hand, or use Debian',
    })
  }
  return { name, packageManager, architecture, bootId }
}

/** One command, for each costs two round trips: boot id, architecture, init, and then os-release. */
const lookScript = [
  'cat /proc/sys/kernel/random/boot_id && uname -m',
  '{ if [ -d /run/systemd/system ]; then echo systemd; else echo other; fi; }',
  'cat /etc/os-release',
].join(' && ')

const look = async (host: Host): Promise<string> => {
  const output = await host.run({ argv: ['sh', '-c', lookScript], root: false })
  if (output.code === 0) return output.stdout
  throw new Fault(Exit.unreachable, 'the server does not say what system it is', {
    member: host.name,
    detail: output.stderr,
  })
}

/** KEY=value lines with shell quoting; keys and values that look odd are left out. */
export const parseOsRelease = (text: string): Map<string, string> => {
  const found = new Map<string, string>()
  for (const line of text.slice(0, 16_384).split('\n')) {
    const match =
      /^([A-Z][A-Z0-9_]{0,31})=(?:"([^"\\$`]{0,256})"|'([^']{0,256})'|([A-Za-z0-9._-]{0,64}))$/.exec(line)
    const key = match?.[1]
    if (match && key && !found.has(key)) found.set(key, match[2] ?? match[3] ?? match[4] ?? '')
  }
  return found
}
