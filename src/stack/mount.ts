import { readdir, readFile, realpath } from 'node:fs/promises'
import type { Action, Finding, Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { Output } from '../host/host.ts'
import { mapperPath } from '../names.ts'
import { syncCommand } from './btrfs.ts'
import { holdersOf, mountsInside, unescapeMountinfo } from './holders.ts'
import type { Vault } from './vault.ts'

/** The filesystem at its place: mounted with the type named, every member named, never lazily unmounted. */

/** A umount writes out everything that is dirty; over a slow line that is minutes, not seconds. */
const umountDeadline = 30 * 60_000

export interface MountOptions {
  readonly readOnly: boolean
  /** Members that take part. Fewer than all: degraded, which is only ever done read-only without replaying the log. */
  readonly members: readonly string[]
}

const mountOptions = (vault: Vault, options: MountOptions): string => {
  const { vault: name, members, filesystem } = vault.profile
  const degraded = options.members.length < members.length
  return [
    ...(options.readOnly ? ['ro'] : []),
    // A read-only mount replays the log all the same, which writes; two halves written apart cannot be joined again.
    ...(degraded ? ['degraded', 'rescue=nologreplay'] : []),
    'noatime',
    'nosuid',
    'nodev',
    ...(filesystem.compress ? [`compress=${filesystem.compress}`] : []),
    ...options.members.map((member) => `device=${mapperPath(name, member)}`),
  ].join(',')
}

/** The directory; made when missing. One that was there stays, one of ours goes with `down`. */
export const mountPoint = (vault: Vault): Step => {
  const { at } = vault.profile.mount
  return {
    name: 'mount point',
    needs: [],
    shared: true,
    probe: async () => {
      const entries = await readdir(at).catch((error: NodeJS.ErrnoException) =>
        error.code === 'ENOENT' ? null : Promise.reject(error),
      )
      if (entries === null) return { is: 'absent' }
      if (entries.length === 0 || (await mountAt(at)) !== null) return { is: 'present' }
      return { is: 'differs', found: `${at} is not empty; its files would be hidden`, next: `ls -la ${at}` }
    },
    up: [{ on: vault.local, command: { argv: ['mkdir', '-p', at] } }],
    down: [{ on: vault.local, command: { argv: ['rmdir', at] }, ok: [0, 1] }],
  }
}

export const mount = (vault: Vault, options: MountOptions & { readonly needs: readonly string[] }): Step => {
  const { at } = vault.profile.mount
  const devices = options.members.map((member) => mapperPath(vault.profile.vault, member))
  return {
    name: 'mount',
    needs: options.needs,
    probe: () => probeMount(at, devices),
    up: [
      {
        on: vault.local,
        // -i and -t: no helper and no probing, which costs 50 round trips.
        command: {
          argv: [
            ...['mount', '-i', '-t', 'btrfs', '-o', mountOptions(vault, options)],
            ...[devices[0] ?? '', at],
          ],
          deadline: 300_000,
        },
        explain: (output) => mountFailed(at, output),
      },
    ],
    down: [refuseWhenBusy(vault, at), ...unmount(vault, at)],
  }
}

const unmount = (vault: Vault, at: string): Action[] => [
  { on: vault.local, command: syncCommand(at) },
  {
    on: vault.local,
    command: { argv: ['umount', '-i', at], deadline: umountDeadline },
    explain: (output) =>
      new Fault(Exit.busy, `${at} could not be unmounted`, {
        detail: output.stderr,
        stands: 'the vault is still mounted and everything written is on the servers',
      }),
  },
]

/** Looks before anything is taken down. @throws Fault 6 with the processes and mounts that hold it */
export const refuseWhenBusy = (vault: Vault, at: string): Action => ({
  on: vault.local,
  text: `list processes that hold ${at}; stop if there are any`,
  call: async () => {
    const [holders, inside] = await Promise.all([
      holdersOf(at),
      readFile('/proc/self/mountinfo', 'utf8').then((text) => mountsInside(text, at)),
    ])
    if (holders.length === 0 && inside.length === 0) return
    throw new Fault(Exit.busy, `${at} is in use`, {
      detail: [
        ...holders.map((h) => `pid ${h.pid} ${h.command}: ${h.what}`),
        ...inside.map((m) => `mounted inside: ${m}`),
      ].join('\n'),
      stands: 'the vault is mounted, untouched',
      next: `end these programs, then: cloudvault down ${vault.profile.vault}`,
    })
  },
})

export interface Mounted {
  readonly source: string
  readonly type: string
  readonly readOnly: boolean
}

/** What is mounted at a place, from mountinfo: the mount point itself is never touched. The last entry is on top. */
export const mountAt = async (at: string): Promise<Mounted | null> =>
  parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'), at)

export const parseMountinfo = (text: string, at: string): Mounted | null => {
  const line = text
    .split('\n')
    .filter((entry) => unescapeMountinfo(entry.split(' ')[4] ?? '') === at)
    .at(-1)
  if (!line) return null
  const [before = '', after = ''] = line.split(' - ')
  const [type = '', source = '', superOptions = ''] = after.split(' ')
  const readOnly = [before.split(' ')[5] ?? '', superOptions].some((options) =>
    options.split(',').includes('ro'),
  )
  return { type, source: unescapeMountinfo(source), readOnly }
}

const probeMount = async (at: string, devices: readonly string[]): Promise<Finding> => {
  const found = await mountAt(at)
  if (!found) return { is: 'absent' }
  // The kernel may name the device by its mapping or by its node: /dev/mapper/cv-photos-fsn is a link to /dev/dm-0.
  const nodes = await Promise.all(devices.map((device) => realpath(device).catch(() => device)))
  if (found.type === 'btrfs' && [...devices, ...nodes].includes(found.source)) {
    return { is: 'present', note: found.readOnly ? 'read-only' : at }
  }
  return {
    is: 'differs',
    found: `${found.type} from ${found.source} is mounted at ${at}`,
    next: `umount ${at}`,
  }
}

const mountFailed = (at: string, output: Output): Fault =>
  new Fault(Exit.decide, `the filesystem could not be mounted at ${at} (mount exit ${output.code})`, {
    detail: output.stderr,
    next: 'dmesg | tail   (Btrfs says there why)',
  })
