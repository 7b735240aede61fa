import type { Finding, Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import type { Disk } from '../profile/profile.ts'
import { checkPath } from './files.ts'
import type { Site } from './site.ts'

/** The far disk as a block device that is there already: looked at from every side, never changed. */

type DeviceDisk = Disk & { readonly kind: 'device' }

/** Blank devices are taken; later probes only check that nobody else uses it, for then ciphertext is on it. */
export const deviceDiskStep = (site: Site, disk: DeviceDisk): Step => {
  checkPath(disk.path, site.member.name)
  return {
    name: 'disk',
    needs: ['user'],
    probe: () => probeDevice(site, disk.path),
    up: [site.own.mark('disk', 'made', [disk.path])],
    down: [],
  }
}

/** The group that may open the device, through which the export gets to it. @throws Fault 3 when there is no such device */
export const deviceGroupOf = async (host: Host, path: string): Promise<string> => {
  const output = await host.run({ argv: ['stat', '-L', '-c', '%F|%G', '--', path] })
  const [kind, group = ''] = output.stdout.trim().split('|')
  if (output.code === 0 && kind === 'block special file' && /^[a-z_][a-z0-9_-]*$/.test(group)) return group
  throw new Fault(Exit.missing, `${path} is not a block device on the server`, {
    member: host.name,
    detail: output.stderr || output.stdout,
    next: 'ls -l /dev/disk/by-id   (on the server)',
  })
}

const probeDevice = async (site: Site, path: string): Promise<Finding> => {
  const { host } = site
  const use = await host.run({
    argv: ['lsblk', '--noheadings', '--raw', '--output', 'NAME,TYPE,MOUNTPOINT', '--', path],
  })
  if (use.code !== 0) return { is: 'unknown', why: use.stderr || 'lsblk failed' }
  const rows = use.stdout.trim().split('\n')
  if (rows.length > 1)
    return {
      is: 'differs',
      found: `${path} has partitions or is part of something: ${rows.slice(1).join('; ')}`,
    }
  if ((rows[0] ?? '').trim().split(' ').length > 2)
    return { is: 'differs', found: `${path} is mounted or swapped on: ${rows[0]}` }
  if (site.own.get('disk')?.what.includes(path)) return { is: 'present', note: path }
  const signature = await host.run({ argv: ['blkid', '-p', '-o', 'export', '--', path] })
  if (signature.code === 2) return { is: 'absent' }
  if (signature.code !== 0) return { is: 'unknown', why: signature.stderr || 'blkid failed' }
  return {
    is: 'differs',
    found: `${path} is not blank: ${signature.stdout.trim().replaceAll('\n', ', ')}`,
    next: `wipefs --all ${path}   (on the server; destroys what is on it)`,
  }
}
