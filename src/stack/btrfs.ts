import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { commandFailed } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import type { Checksum, Redundancy } from '../profile/profile.ts'

/**
 * What Btrfs says: superblocks read from a device, and the state of a mounted filesystem read from sysfs, which never
 * touches the mount point (a stat there can hang with the server).
 */

/** The superblock of one member. */
export interface Superblock {
  readonly fsid: string
  readonly generation: number
  readonly devid: number
  readonly deviceUuid: string
  /** Filesystem label; it carries the epoch (record/epoch.ts). */
  readonly label: string
  readonly devices: number
  /** Bytes of this device that are given to chunks. */
  readonly allocatedBytes: number
  /** Bytes of this device that belong to the filesystem, as committed. */
  readonly totalBytes: number
}

/**
 * Reads a superblock.
 * @param fresh drops what the kernel has cached of the device first, so that the bytes come from the server
 * @param copy 0 is the primary one, which every fsync writes; 1 the second, at 64 MiB, which only a commit writes
 * @returns null when there is no Btrfs on the device
 */
export const readSuperblock = async (
  local: Host,
  device: string,
  fresh: boolean,
  copy: 0 | 1 = 0,
): Promise<Superblock | null> => {
  if (fresh) {
    const flush = ['blockdev', '--flushbufs', device]
    const flushed = await local.run({ argv: flush, deadline: 120_000 })
    if (flushed.code !== 0) throw commandFailed(local.name, flush, flushed)
  }
  const which = copy === 0 ? [] : ['--super', `${copy}`]
  const argv = ['btrfs', 'inspect-internal', 'dump-super', ...which, device]
  const output = await local.run({ argv, deadline: 120_000 })
  // It says "bad magic" on stderr with exit 1 for a foreign disk, and the same exit for an I/O error.
  if (output.code !== 0 && /bad magic/i.test(output.stderr + output.stdout)) return null
  if (output.code !== 0) throw commandFailed(local.name, argv, output)
  return parseSuperblock(output.stdout)
}

export const parseSuperblock = (text: string): Superblock | null => {
  const field = (name: string): string | null =>
    new RegExp(`^${name.replace('.', '\\.')}\\s+(\\S+)`, 'm').exec(text)?.[1] ?? null
  const number = (name: string): number => Number(field(name) ?? Number.NaN)
  // Anything may be in a label but a line feed: dump-super prints a dot for what is not printable.
  const label = /^label[ \t]+(.*)$/m.exec(text)?.[1] ?? ''
  const fsid = field('fsid')
  const deviceUuid = field('dev_item.uuid')
  if (!fsid || !deviceUuid || !/\[match\]/.test(text)) return null
  const numbers = {
    generation: number('generation'),
    devid: number('dev_item.devid'),
    devices: number('num_devices'),
    allocatedBytes: number('dev_item.bytes_used'),
    totalBytes: number('dev_item.total_bytes'),
  }
  return Object.values(numbers).every(Number.isSafeInteger) ? { fsid, deviceUuid, label, ...numbers } : null
}

/** Data and metadata profile of a filesystem. One member: metadata twice, because lost metadata is a lost vault. */
export const mirrorProfiles = (
  redundancy: Redundancy,
  members: number,
): { data: string; metadata: string } =>
  redundancy === 'single'
    ? { data: 'single', metadata: members === 1 ? 'dup' : 'raid1' }
    : { data: redundancy, metadata: redundancy }

/** `-K`: no discards at format; they would only tell the provider what is empty. */
export const mkfsArgv = (
  label: string,
  redundancy: Redundancy,
  checksum: Checksum,
  devices: readonly string[],
): string[] => {
  const { data, metadata } = mirrorProfiles(redundancy, devices.length)
  return ['mkfs.btrfs', '-q', '-K', '-L', label, '-d', data, '-m', metadata, '--csum', checksum, ...devices]
}

/** Which profiles the chunks of a mounted filesystem really have: the only truth about redundancy. */
export interface ChunkTable {
  readonly data: readonly string[]
  readonly metadata: readonly string[]
  readonly system: readonly string[]
  readonly usedBytes: number
  /** With every copy counted: what a scrub reads. */
  readonly diskBytes: number
  /** What is given to chunks for that, with every copy counted. */
  readonly givenBytes: number
  /** Bytes of data and metadata (each counted once) by how they are stored: "data raid1". */
  readonly stored: Readonly<Record<string, number>>
}

const sysfs = (fsid: string): string => `/sys/fs/btrfs/${fsid}`

export const readChunkTable = async (fsid: string): Promise<ChunkTable> => {
  const kinds = await Promise.all(
    (['data', 'metadata', 'system'] as const).map(async (kind) => {
      const folder = join(sysfs(fsid), 'allocation', kind)
      const entries = await readdir(folder, { withFileTypes: true })
      const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
      const used = Number(await readFile(join(folder, 'bytes_used'), 'utf8'))
      const disk = Number(await readFile(join(folder, 'disk_used'), 'utf8'))
      const given = Number(await readFile(join(folder, 'disk_total'), 'utf8'))
      const stored = await Promise.all(
        names.map(async (name) => {
          const bytes = await readFile(join(folder, name, 'used_bytes'), 'utf8').catch(() => '0') // gone meanwhile
          return [`${kind} ${name}`, Number(bytes)] as const
        }),
      )
      return { kind, names, used, disk, given, stored }
    }),
  )
  const of = (kind: string): readonly string[] => kinds.find((entry) => entry.kind === kind)?.names ?? []
  return {
    data: of('data'),
    metadata: of('metadata'),
    system: of('system'),
    usedBytes: kinds.reduce((sum, entry) => sum + entry.used, 0),
    diskBytes: kinds.reduce((sum, entry) => sum + entry.disk, 0),
    givenBytes: kinds.reduce((sum, entry) => sum + entry.given, 0),
    stored: Object.fromEntries(kinds.flatMap((entry) => entry.stored)),
  }
}

/** The chunk kinds that are not stored as the profile asks: "data: single". Empty when the vault is as redundant as promised. */
export const impureChunks = (table: ChunkTable, redundancy: Redundancy, members: number): string[] => {
  const wanted = mirrorProfiles(redundancy, members)
  const odd = (kind: string, found: readonly string[], want: string): string[] =>
    found.filter((name) => name !== want).map((name) => `${kind}: ${name}`)
  return [
    ...odd('data', table.data, wanted.data),
    ...odd('metadata', table.metadata, wanted.metadata),
    ...odd('system', table.system, wanted.metadata),
  ]
}

/** Bytes that are not stored as wanted yet; a chunk that is empty counts for nothing. */
export const unconverted = (table: ChunkTable, redundancy: Redundancy, members: number): number => {
  const { data, metadata } = mirrorProfiles(redundancy, members)
  const wanted = [`data ${data}`, `metadata ${metadata}`, `system ${metadata}`]
  return Object.entries(table.stored).reduce(
    (sum, [kind, bytes]) => sum + (wanted.includes(kind) ? 0 : bytes),
    0,
  )
}

/** Errors counted by the kernel since the last reset, per device id. */
export interface DeviceErrors {
  readonly read: number
  readonly write: number
  readonly flush: number
  readonly corruption: number
  readonly generation: number
  /** The kernel mounted without this device. */
  readonly missing: boolean
}

export const readDeviceErrors = async (fsid: string, devid: number): Promise<DeviceErrors | null> => {
  const folder = join(sysfs(fsid), 'devinfo', `${devid}`)
  const stats = await readFile(join(folder, 'error_stats'), 'utf8').catch(() => null)
  const missing = await readFile(join(folder, 'missing'), 'utf8').catch(() => '1')
  if (stats === null) return null
  const count = (name: string): number => Number(new RegExp(`^${name}\\s+(\\d+)`, 'm').exec(stats)?.[1] ?? 0)
  return {
    read: count('read_errs'),
    write: count('write_errs'),
    flush: count('flush_errs'),
    corruption: count('corruption_errs'),
    generation: count('generation_errs'),
    missing: missing.trim() !== '0',
  }
}

/** Writes everything out and commits: what was acknowledged is in the committed tree afterwards. */
export const syncCommand = (at: string) => ({ argv: ['btrfs', 'filesystem', 'sync', at], deadline: 600_000 })

/** What the record says of a filesystem and its members. */
interface Expected {
  readonly fsid: string
  readonly members: Readonly<
    Record<string, { readonly devid: number; readonly deviceUuid: string } | undefined>
  >
}

/** @throws Fault 5, naming every member that is not who the record says it is: exports were swapped, or headers belong elsewhere */
export const checkIdentities = (
  found: Readonly<Record<string, Superblock | null>>,
  expected: Expected,
): void => {
  const wrong = Object.entries(found).filter(([member, block]) => {
    const known = expected.members[member]
    return (
      block?.fsid !== expected.fsid || block.devid !== known?.devid || block.deviceUuid !== known.deviceUuid
    )
  })
  const [first] = wrong
  if (first === undefined) return
  const names = wrong.map(([member]) => member).join(' and ')
  const serve = wrong.length > 1 ? "do not serve this vault's disks" : "does not serve this vault's disk"
  const what = wrong.map(([, block]) =>
    block
      ? `it holds device ${block.devid} (${block.deviceUuid}) of filesystem ${block.fsid}`
      : 'it holds no filesystem that opens with this header',
  )
  throw new Fault(Exit.trust, `${names} ${serve}: ${[...new Set(what)].join('; ')}`, {
    ...(wrong.length > 1 ? {} : { member: first[0] }),
    stands: 'nothing was written there',
    next: 'check that the servers were not swapped or reinstalled; a lost member is replaced, never formatted in place',
  })
}
