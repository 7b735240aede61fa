import { commandFailed } from '../engine/action.ts'
import type { Action } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import type { Disk, ServerMember } from '../profile/profile.ts'
import { receiptPath, ServerReceipt } from './receipt.ts'

/**
 * Another size for a far disk that is in use. A file grows in one moment, when all of its new blocks are there already,
 * and is cut only when the caller has proved that nothing lies behind the cut. A block device is its owner's to resize.
 */

type FileDisk = Disk & { readonly kind: 'file' }

/** Allocating reserves blocks, it does not write them; only old filesystems fall back to writing. */
const allocateDeadline = 30 * 60_000

/** Bytes that the disk has on its server now. @throws Fault 3 when it is not there, or not what the profile says */
export const diskSize = async (host: Host, { disk }: ServerMember): Promise<number> => {
  const argv =
    disk.kind === 'file' ? ['stat', '-c', '%F|%s', '--', disk.path] : ['blockdev', '--getsize64', disk.path]
  const output = await host.run({ argv })
  const size = (disk.kind === 'file' ? /^regular file\|(\d+)$/ : /^(\d+)$/).exec(output.stdout.trim())?.[1]
  if (output.code === null || output.code > 1) throw commandFailed(host.name, argv, output)
  if (size !== undefined && Number.isSafeInteger(Number(size))) return Number(size)
  throw new Fault(Exit.missing, `${disk.path} is not there, or is no ${disk.kind}`, {
    member: host.name,
    stands: 'nothing was changed',
    detail: output.stderr || output.stdout,
  })
}

/** @throws Fault 5 when provision did not make this file for this member: its size is not ours to change */
export const requireOwnDisk = async (host: Host, vault: string, member: ServerMember): Promise<void> => {
  const receipt = await ServerReceipt.read(host, receiptPath(vault, member.name))
  if (receipt.get('disk')?.what.includes(member.disk.path)) return
  throw new Fault(Exit.trust, `${member.disk.path} was not made by cloudvault for this member`, {
    member: member.name,
    stands: 'nothing was changed',
    next: `cloudvault provision ${vault} ${member.name} --dry-run`,
  })
}

/** Bytes that are free where the file lies. @throws Fault 4 when it cannot be told */
export const roomAt = async (host: Host, { path }: FileDisk): Promise<number> => {
  const argv = ['df', '--output=avail', '-B1', '--', path]
  const output = await host.run({ argv })
  const room = /^\s*(\d+)\s*$/m.exec(output.stdout)?.[1]
  if (output.code !== 0 || room === undefined) throw commandFailed(host.name, argv, output)
  return Number(room)
}

export const noRoom = (host: string, needed: number, room: number | null): Fault =>
  new Fault(
    Exit.missing,
    `the server has no room: ${needed} bytes more are needed${room === null ? '' : `, ${room} are free`}`,
    {
      member: host,
      stands: 'the disk is as it was',
      next: 'free some space there, or choose a smaller size',
    },
  )

/** All or nothing: the blocks first, invisible behind the end, then the new end. */
const growScript = [
  'set -e; [ -f "$1" ] && [ ! -L "$1" ]; old=$(stat -c %s -- "$1"); [ "$old" -lt "$2" ]',
  'fallocate --keep-size --offset "$old" --length $(($2 - old)) -- "$1" || { truncate -s "$old" -- "$1"; exit 28; }',
  'truncate -s "$2" -- "$1"; sync -- "$1"',
].join('; ')

export const growFile = (host: Host, disk: FileDisk, toBytes: number): Action => ({
  on: host,
  command: {
    argv: ['sh', '-c', growScript, 'grow', disk.path, `${toBytes}`],
    deadline: allocateDeadline,
  },
  explain: (output) =>
    /No space left|File too large/.test(output.stderr)
      ? noRoom(host.name, toBytes, null)
      : commandFailed(host.name, ['fallocate', disk.path], output),
})

/** What lies behind the cut is gone for good. */
const cutScript =
  'set -e; [ -f "$1" ] && [ ! -L "$1" ]; [ "$(stat -c %s -- "$1")" -ge "$2" ]; truncate -s "$2" -- "$1"; sync -- "$1"'

export const cutFile = (host: Host, disk: FileDisk, toBytes: number): Action => ({
  on: host,
  command: { argv: ['sh', '-c', cutScript, 'cut', disk.path, `${toBytes}`] },
})
