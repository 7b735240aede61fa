import { commandFailed } from '../engine/action.ts'
import type { Action, Finding, Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { Output } from '../host/host.ts'
import { serverUser } from '../names.ts'
import type { Disk } from '../profile/profile.ts'
import { formatSize } from '../profile/units.ts'
import { checkPath, run } from './files.ts'
import type { Site } from './site.ts'

/**
 * The far disk as a file, allocated in full: a sparse one on a host that fills up loses writes unseen. A file that we
 * did not make is never taken, whatever it looks like.
 */

type FileDisk = Disk & { readonly kind: 'file' }

/** Allocating reserves blocks, it does not write them; only old filesystems fall back to writing. */
const allocateDeadline = 30 * 60_000

/** Places that vanish with a reboot, or are no place for files at all. */
const unfit = /^\/(?:dev|proc|sys|run|tmp|var\/tmp|var\/run)(?:\/|$)/

export const fileDiskStep = (site: Site, disk: FileDisk): Step => {
  checkPath(disk.path, site.member.name)
  if (unfit.test(disk.path)) {
    throw new Fault(Exit.usage, `${disk.path} is no place for a disk: it does not survive a reboot`, {
      member: site.member.name,
      next: 'use a path like /srv/cloudvault/photos.img',
    })
  }
  const { host, own } = site
  const directory = disk.path.replace(/\/[^/]*$/, '') || '/'
  // Files as they are, directories with a slash at the end; what an older profile made stays ours.
  const made: string[] = [...new Set([...(own.get('disk')?.what ?? []), disk.path])]
  return {
    name: 'disk',
    needs: ['user'],
    probe: () => probeFile(site, disk),
    up: [
      noteMissingDirectories(site, directory, made),
      own.mark('disk', 'making', () => made),
      run(host, 'sh', '-c', '[ -d "$1" ] || install -d -m 0711 -- "$1"', 'directory', directory),
      allocate(site, disk),
      own.mark('disk', 'made', () => made),
    ],
    down: removal(site),
  }
}

/** The file first, then the directories that were made for it, innermost first, as far as they are empty. */
const removal = (site: Site): Action[] => {
  const what = site.own.get('disk')?.what ?? []
  const files = what.filter((entry) => !entry.endsWith('/'))
  const directories = what.filter((entry) => entry.endsWith('/'))
  if (files.length === 0) return []
  return [
    run(site.host, 'rm', '-f', '--', ...files.flatMap((path) => [path, `${path}.new`])),
    ...directories.map((directory) =>
      run(
        site.host,
        'sh',
        '-c',
        '[ ! -d "$1" ] || rmdir --ignore-fail-on-non-empty -- "$1"',
        'rmdir',
        directory,
      ),
    ),
  ]
}

/** Made beside and renamed, so that the path never shows half a disk. */
const allocate = (site: Site, disk: FileDisk): Action => ({
  on: site.host,
  command: {
    argv: [
      'sh',
      '-c',
      'set -e; umask 077; rm -f -- "$1.new"; trap \'rm -f -- "$1.new"\' EXIT; fallocate -l "$2" -- "$1.new"; ' +
        'chown "$3:$3" -- "$1.new"; chmod 0600 -- "$1.new"; [ ! -e "$1" ]; mv -T -- "$1.new" "$1"; sync -- "$1"',
      'allocate',
      disk.path,
      String(disk.sizeBytes),
      serverUser,
    ],
    deadline: allocateDeadline,
  },
  explain: (output: Output) => {
    const full = /No space left/.test(output.stderr)
    const unable = /not supported/.test(output.stderr)
    if (!full && !unable) return commandFailed(site.host.name, ['fallocate', disk.path], output)
    return new Fault(
      Exit.missing,
      full
        ? `the server has no room for ${disk.sizeBytes} bytes at ${disk.path}`
        : `the filesystem at ${disk.path} cannot reserve space (fallocate)`,
      {
        member: site.host.name,
        stands: 'no disk was made',
        next: full
          ? 'free some space there, or make the disk smaller in the profile'
          : 'use ext4, XFS or Btrfs there',
        detail: output.stderr,
      },
    )
  },
})

/**
 * Which of the path's directories do not exist yet, or were made for another disk of ours: these are ours to remove
 * again, innermost first. Of several disks in one, the last to go takes it away.
 */
const noteMissingDirectories = (site: Site, directory: string, made: string[]): Action => ({
  on: site.host,
  text: `note which directories of ${directory} are missing, or ours`,
  call: async () => {
    for (let path = directory; path !== '' && path !== '/'; path = path.replace(/\/[^/]*$/, '')) {
      if (!(await isOurs(site, path))) return
      if (!made.includes(`${path}/`)) made.push(`${path}/`)
    }
  },
})

/** Not there yet, or in the receipt of another export. */
const isOurs = async ({ host }: Site, path: string): Promise<boolean> => {
  // As a whole string of the JSON: a disk's path begins with its directory too, whoever made that.
  const look = '[ ! -e "$1" ] || grep -qsF "\\"$1/\\"" /etc/cloudvault/cv-*/receipt.json'
  const found = await host.run({ argv: ['sh', '-c', look, 'ours', path] })
  // grep: 1 is "in none of them", 2 is "there are none".
  if (found.code === 0 || found.code === 1 || found.code === 2) return found.code === 0
  throw commandFailed(host.name, ['sh', '-c', look, 'ours', path], found)
}

/** Symlinks on the way would let the path mean another file tomorrow. */
const probeFile = async (site: Site, disk: FileDisk): Promise<Finding> => {
  const { host } = site
  const real = await host.run({ argv: ['realpath', '-m', '--', disk.path] })
  if (real.code !== 0) return { is: 'unknown', why: real.stderr || 'the connection was lost' }
  const where = real.stdout.replace(/\n$/, '')
  if (where !== disk.path) {
    return {
      is: 'differs',
      found: `${disk.path} leads over a symbolic link`,
      next: `write ${where} in the profile`,
    }
  }
  const exists = await host.run({ argv: ['test', '-e', disk.path] })
  if (exists.code === 1) return { is: 'absent' }
  if (exists.code !== 0) return { is: 'unknown', why: exists.stderr || 'the connection was lost' }
  if (!site.own.get('disk')?.what.includes(disk.path)) {
    return {
      is: 'differs',
      found: `${disk.path} is there already and was not made by cloudvault for this member`,
      next: 'choose another path in the profile, or move that file away',
    }
  }
  return checkFile(site, disk)
}

const checkFile = async (site: Site, disk: FileDisk): Promise<Finding> => {
  const stat = await site.host.run({ argv: ['stat', '-c', '%F|%s|%b|%B|%U|%a', '--', disk.path] })
  if (stat.code !== 0) return { is: 'unknown', why: stat.stderr }
  const [kind, size, blocks, blockSize, owner, mode] = stat.stdout.trim().split('|')
  if (kind !== 'regular file' && kind !== 'regular empty file')
    return { is: 'differs', found: `${disk.path} is a ${kind}` }
  if (Number(size) !== disk.sizeBytes) {
    return {
      is: 'differs',
      found: `${disk.path} has ${size} bytes, the profile says ${disk.sizeBytes}`,
      next: `cloudvault resize ${site.vault} ${site.member.name} ${formatSize(disk.sizeBytes)}   (while the vault is up), or write the size it has into the profile`,
    }
  }
  if (Number(blocks) * Number(blockSize) < disk.sizeBytes) {
    return {
      is: 'differs',
      found: `${disk.path} is sparse: a full host would lose writes`,
      next: `fallocate -l ${disk.sizeBytes} ${disk.path}   (on the server; keeps what is in it)`,
    }
  }
  if (owner !== serverUser || mode !== '600') {
    return {
      is: 'differs',
      found: `${disk.path} belongs to ${owner} with mode ${mode}, not to ${serverUser} with 600`,
    }
  }
  const reach = await site.host.run({ argv: ['runuser', '-u', serverUser, '--', 'test', '-w', disk.path] })
  if (reach.code === 0) return { is: 'present', note: `${disk.path}, ${size} bytes` }
  return {
    is: 'differs',
    found: `user ${serverUser} cannot reach ${disk.path}: a directory above it is closed`,
  }
}
