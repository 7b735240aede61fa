import { readFile, readlink } from 'node:fs/promises'
import { basename } from 'node:path'
import { commandFailed } from '../engine/action.ts'
import type { Action, Finding, Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import { mapperPath, memberId } from '../names.ts'
import { resizeDevice } from './attach/nbd.ts'
import { deviceState } from './attach/sysfs.ts'
import { readSuperblock, syncCommand } from './btrfs.ts'
import { checkTable } from './luks.ts'
import type { Vault } from './vault.ts'

/**
 * The layers above the export, each brought to another size while the vault is in use: the kernel's device, the
 * mapping, the filesystem. Growing they go from the bottom to the top, shrinking from the top to the bottom.
 */

const found = (has: number, wanted: number): Finding =>
  has === wanted ? { is: 'present', note: `${wanted} bytes` } : { is: 'absent' }

/** /dev/nbdN. */
export const sizeDevice = (vault: Vault, member: string, toBytes: number): Step => {
  const index = vault.nbdIndex(member)
  return {
    name: `device ${member}`,
    needs: [],
    probe: async () => found(Number((await deviceState(index)).sizeBytes), toBytes),
    up: [
      {
        on: vault.local,
        text: `netlink nbd RECONFIGURE index=${index} size=${toBytes}`,
        call: () => resizeDevice(index, memberId(vault.profile.vault, member), toBytes),
      },
    ],
    down: [],
  }
}

/** The dm-crypt mapping. Its key is not in the kernel's reach any more: the header is opened again. */
export const sizeMapping = (vault: Vault, member: string, toBytes: number): Step => {
  const name = memberId(vault.profile.vault, member)
  const argv = [
    ...['cryptsetup', 'resize', '--header', vault.paths.header(member), '--key-file=-'],
    ...['--disable-external-tokens', '--size', `${toBytes / 512}`, name],
  ]
  return {
    name: `mapping ${member}`,
    needs: [],
    probe: async () => found(await mappingSize(vault, member), toBytes),
    up: [
      { on: vault.local, command: { argv, deadline: 120_000 }, feed: () => vault.vaultKey() },
      {
        on: vault.local,
        text: `dmsetup table ${name}: cipher and offset`,
        call: () => checkTable(vault.local, member, name),
      },
    ],
    down: [],
  }
}

/** Bytes of the mapping, from sysfs: never through the device. */
export const mappingSize = async (vault: Vault, member: string): Promise<number> => {
  const target = basename(await readlink(mapperPath(vault.profile.vault, member)))
  return Number(await readFile(`/sys/block/${target}/size`, 'utf8')) * 512
}

/** The part of the filesystem that lies on this member, as committed on its own disk. @throws Fault when it cannot be read */
export const committedSize = async (vault: Vault, member: string): Promise<number> => {
  const block = await readSuperblock(vault.local, mapperPath(vault.profile.vault, member), true)
  if (block) return block.totalBytes
  throw new Fault(Exit.trust, 'its filesystem cannot be read any more', { member })
}

/** The end of the filesystem on a member moves out: nothing is moved, nothing is written but the new size. */
export const growFilesystem = (vault: Vault, member: string, devid: number, toBytes: number): Step => ({
  name: `filesystem ${member}`,
  needs: [],
  probe: async () => found(await committedSize(vault, member), toBytes),
  up: [resizeAction(vault, devid, toBytes), sync(vault)],
  down: [],
})

const resizeArgv = (vault: Vault, devid: number, toBytes: number): string[] => [
  ...['btrfs', 'filesystem', 'resize', '--enqueue', `${devid}:${toBytes}`, vault.profile.mount.at],
]

const resizeAction = (vault: Vault, devid: number, toBytes: number): Action => ({
  on: vault.local,
  command: { argv: resizeArgv(vault, devid, toBytes), deadline: 600_000 },
})

const sync = (vault: Vault): Action => ({ on: vault.local, command: syncCommand(vault.profile.mount.at) })

/** Moving gigabytes over somebody's uplink. */
const shrinkDeadline = 7 * 24 * 3600 * 1000
const lookEvery = 5000

export interface Shrinking {
  readonly signal: AbortSignal
  /** Called every few seconds with the bytes that still lie behind the cut. */
  readonly seen: (leftBytes: number) => void
}

/**
 * What lies behind the new end is moved in front of it, or to other members. The kernel takes the old size back when
 * it does not fit, when it is told to stop, and when whoever waits for it is killed.
 */
export const shrinkFilesystem = (
  vault: Vault,
  member: string,
  devid: number,
  toBytes: number,
  watch: Shrinking,
): Step => ({
  name: `filesystem ${member}`,
  needs: [],
  probe: async () => found(await committedSize(vault, member), toBytes),
  up: [
    {
      on: vault.local,
      text: resizeArgv(vault, devid, toBytes).join(' '),
      call: () => shrink(vault, member, devid, toBytes, watch),
    },
    sync(vault),
  ],
  down: [],
})

const shrink = async (
  vault: Vault,
  member: string,
  devid: number,
  toBytes: number,
  { signal, seen }: Shrinking,
): Promise<void> => {
  const { at } = vault.profile.mount
  const argv = resizeArgv(vault, devid, toBytes)
  const over = new AbortController()
  const stop = (): void => {
    void vault.local
      .run({ argv: ['btrfs', 'filesystem', 'resize', 'cancel', at], deadline: 600_000 })
      .catch(() => {})
  }
  signal.addEventListener('abort', stop)
  const timer = setInterval(() => {
    void bytesBeyond(vault, devid, toBytes, over.signal).then(seen, () => {})
  }, lookEvery)
  try {
    const output = await vault.local.run({ argv, deadline: shrinkDeadline })
    if (output.code === 0) return
    if (signal.aborted)
      throw new Fault(Exit.interrupted, 'the shrinking was stopped', {
        member,
        stands: 'the size is as it was',
      })
    if (/No space left/.test(output.stderr))
      throw new Fault(Exit.decide, 'what lies there does not fit elsewhere', {
        member,
        stands: 'the size is as it was',
        next: 'delete something, choose a larger size, or make another member larger first',
        detail: output.stderr,
      })
    throw commandFailed(vault.local.name, argv, output)
  } finally {
    clearInterval(timer)
    over.abort()
    signal.removeEventListener('abort', stop)
  }
}

/** Bytes of a member that are given to chunks and lie behind this place: what a shrink has to move. */
export const bytesBeyond = async (
  vault: Vault,
  devid: number,
  place: number,
  signal?: AbortSignal,
): Promise<number> =>
  (await readExtents(vault, devid, signal))
    .filter(({ start, length }) => start + length > place)
    .reduce((sum, { length }) => sum + length, 0)

/** Where the chunks of a member lie on it, as committed. */
export const readExtents = async (vault: Vault, devid: number, signal?: AbortSignal): Promise<Extent[]> => {
  const devices = vault.profile.members.map((member) => mapperPath(vault.profile.vault, member.name))
  for (const device of devices)
    await vault.local.run({ argv: ['blockdev', '--flushbufs', device], deadline: 120_000 })
  const argv = ['btrfs', 'inspect-internal', 'dump-tree', '--noscan', '-t', 'dev', ...devices]
  const output = await vault.local.run({ argv, deadline: 120_000, ...(signal ? { signal } : {}) })
  if (output.code !== 0) throw commandFailed(vault.local.name, argv, output)
  return parseExtents(output.stdout, devid)
}

/** A part of a device that is given to a chunk, in bytes. */
export interface Extent {
  readonly start: number
  readonly length: number
}

/** `btrfs inspect-internal dump-tree -t dev`: "item 2 key (1 DEV_EXTENT 22020096) …" and, below it, "… length 8388608". */
export const parseExtents = (text: string, devid: number): Extent[] =>
  [...text.matchAll(/key \((\d+) DEV_EXTENT (\d+)\)[\s\S]*?chunk_offset \d+ length (\d+)/g)]
    .filter(([, device]) => Number(device) === devid)
    .map(([, , start, length]) => ({ start: Number(start), length: Number(length) }))
