import { readFile } from 'node:fs/promises'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import type { Member } from '../profile/profile.ts'
import { formatSize, parseDiskSize } from '../profile/units.ts'
import type { RecordData } from '../record/record.ts'
import { diskSize, noRoom, requireOwnDisk, roomAt } from '../server/disk-size.ts'
import { readChunkTable } from '../stack/btrfs.ts'
import { usableBytes } from '../stack/capacity.ts'
import { bytesBeyond } from '../stack/resize.ts'
import type { Vault } from '../stack/vault.ts'

/**
 * What a resize will do, in numbers, and whether it may: looked at before anything is changed. The kernel's allocator has
 * the last word on whether a shrink fits; what it cannot move it puts back.
 */

export interface ResizePlan {
  readonly fromBytes: number
  readonly toBytes: number
  /** What fits in the vault, before and after. */
  readonly usableBefore: number
  readonly usableAfter: number
  readonly usedBytes: number
  /** Bytes of this member that lie behind the new end and have to be moved. */
  readonly moveBytes: number
  /** Bytes that the server has to reserve. */
  readonly reserveBytes: number
}

/**
 * The size a person asked for, in bytes.
 * @param asked "200GiB"; "max" for a block device, which has the size it has
 * @throws Fault 2 when it is none, 7 when a resize to another size was begun and not finished
 */
export const wantedSize = async (
  vault: Vault,
  record: RecordData,
  member: Member,
  asked: string,
  server: Host,
): Promise<number> => {
  const { vault: name } = vault.profile
  const again = (size: string): string => `cloudvault resize ${name} ${member.name} ${size}`
  if ((member.disk.kind === 'device') !== (asked === 'max'))
    throw new Fault(
      Exit.usage,
      member.disk.kind === 'device'
        ? `the disk of ${member.name} is a block device: it has the size that its server gives it`
        : `the disk of ${member.name} is a file: say how large it is to be`,
      {
        member: member.name,
        stands: 'nothing was changed',
        next: again(member.disk.kind === 'device' ? 'max' : '200GiB'),
      },
    )
  const size = asked === 'max' ? await diskSize(server, member) : sizeOf(asked, again)
  const { resizingTo } = record.members[member.name] ?? {}
  if (resizingTo === undefined || resizingTo === size) return size
  throw new Fault(
    Exit.decide,
    `a resize of ${member.name} to ${formatSize(resizingTo)} was begun and is not finished`,
    {
      member: member.name,
      stands: 'nothing was changed',
      next: again(member.disk.kind === 'device' ? 'max' : formatSize(resizingTo)),
    },
  )
}

const sizeOf = (asked: string, again: (size: string) => string): number => {
  const parsed = parseDiskSize(asked)
  if ('value' in parsed) return parsed.value
  throw new Fault(Exit.usage, `${JSON.stringify(asked)}: ${parsed.fault}`, {
    stands: 'nothing was changed',
    next: again('200GiB'),
  })
}

/** @throws Fault 7 when what is stored would not fit, 3 when the server has no room, 5 when the disk is not ours, 6 when the filesystem is at work on its members */
export const planResize = async (
  vault: Vault,
  record: RecordData,
  member: Member,
  toBytes: number,
  server: Host,
): Promise<ResizePlan> => {
  const known = record.members[member.name]
  if (!known) throw new Fault(Exit.trust, `${member.name} is not a member of this vault's record`)
  await refuseAtWork(vault, record.fsid)
  const fromBytes = known.sizeBytes
  const { redundancy } = vault.profile.filesystem
  const sizes = Object.entries(record.members).map(([name, { sizeBytes }]) => ({ name, sizeBytes }))
  const after = sizes.map(({ name, sizeBytes }) => (name === member.name ? toBytes : sizeBytes))
  const { usedBytes } = await readChunkTable(record.fsid)
  const plan = {
    ...{ fromBytes, toBytes, usedBytes },
    usableBefore: usableBytes(
      redundancy,
      sizes.map(({ sizeBytes }) => sizeBytes),
    ),
    usableAfter: usableBytes(redundancy, after),
    moveBytes: toBytes < fromBytes ? await bytesBeyond(vault, known.devid, toBytes) : 0,
    reserveBytes: await toReserve(vault, member, fromBytes, toBytes, server),
  }
  if (toBytes < fromBytes) refuseTooSmall(vault, member, plan)
  return plan
}

/** One exclusive thing at a time is the kernel's rule; a shrink that a killed program left is waited for. */
const refuseAtWork = async (vault: Vault, fsid: string): Promise<void> => {
  const work = (
    await readFile(`/sys/fs/btrfs/${fsid}/exclusive_operation`, 'utf8').catch(() => 'none')
  ).trim()
  if (work === 'none' || work === 'resize') return
  throw new Fault(Exit.busy, `the filesystem is at work on its members (${work})`, {
    stands: 'nothing was changed',
    next: `cloudvault status ${vault.profile.vault}`,
  })
}

const toReserve = async (
  vault: Vault,
  member: Member,
  fromBytes: number,
  toBytes: number,
  server: Host,
): Promise<number> => {
  const { disk } = member
  if (disk.kind === 'device') {
    if (toBytes >= fromBytes) return 0
    throw new Fault(Exit.trust, `${disk.path} has ${toBytes} bytes now, ${fromBytes} when it was last used`, {
      member: member.name,
      stands: 'nothing was changed',
      next: 'give it its size back: its end, with what lay there, is gone',
    })
  }
  await requireOwnDisk(server, vault.profile.vault, member)
  const needed = Math.max(0, toBytes - (await diskSize(server, member)))
  if (needed === 0) return 0
  const room = await roomAt(server, disk)
  if (room < needed) throw noRoom(member.name, needed, room)
  return needed
}

/** Chunks are given out whole, and moving one needs an empty one first. */
const reserve = (usable: number): number => Math.min(2 ** 30, usable / 10)

const refuseTooSmall = (vault: Vault, member: Member, plan: ResizePlan): void => {
  const { usableAfter, usedBytes } = plan
  if (usedBytes + reserve(usableAfter) <= usableAfter) return
  throw new Fault(
    Exit.decide,
    `${formatSize(plan.toBytes)} is too small: ${mebi(usedBytes)} are stored, and ${mebi(usableAfter)} would fit, of which some must stay free`,
    {
      member: member.name,
      stands: 'nothing was changed',
      next: `choose a larger size, or delete something first (cloudvault status ${vault.profile.vault} shows how much)`,
    },
  )
}

const mebi = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`
