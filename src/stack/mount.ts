import { readdir, readFile, realpath } from 'node:fs/promises'
import { commandFailed, perform } from '../engine/action.ts'
import type { Action, Finding, Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import { shellLine } from '../host/quote.ts'
import { mapperPath } from '../names.ts'
import { epochLabel, learned } from '../record/epoch.ts'
import { readRecord, updateRecord } from '../record/record.ts'
import { stopBalance } from './balance.ts'
import { syncCommand } from './btrfs.ts'
import { describeHolder, holdersOf, mountsInside, unescapeMountinfo } from './holders.ts'
import { stopRemoval } from './leave.ts'
import { type MountOptions, mountAll } from './mount-command.ts'
import { stopReplace } from './replace.ts'
import { stopScrub } from './scrub.ts'
import { allParked, parkSilent, type Silence } from './silence.ts'
import type { Vault } from './vault.ts'

/** The filesystem at its place: mounted with the type named, every member named, never lazily unmounted. */

/** A umount writes out everything that is dirty; over a slow line that is minutes, not seconds. */
const umountDeadline = 30 * 60_000

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

export const mount = (
  vault: Vault,
  options: MountOptions & { readonly needs: readonly string[]; readonly silence: Silence },
): Step => {
  const { at } = vault.profile.mount
  const devices = options.members.map((member) => mapperPath(vault.profile.vault, member))
  const degraded = options.members.length < vault.profile.members.length
  // Killed between the mount and the label, the next `up` finds it mounted and writes the label then.
  const labels = degraded && !options.readOnly ? [writeEpoch(vault)] : []
  return {
    name: 'mount',
    needs: options.needs,
    probe: () => probeMount(at, devices),
    refresh: labels,
    up: [mountAll(vault, options, options.silence.record), ...labels],
    down: [
      refuseWhenBusy(vault, at),
      {
        on: vault.local,
        text: `read from every member; one that does not answer is parked, or ${at} could not be unmounted`,
        call: () => parkSilent(options.silence),
      },
      ...unmount(vault, at, options.silence),
    ],
  }
}

/**
 * The label is committed to the members that are here, and to no other: that is what tells the halves apart. The record
 * has known the epoch since before the mount, so that whatever a crash leaves without its label is known to be ours.
 */
const writeEpoch = (vault: Vault): Action => ({
  on: vault.local,
  text: `btrfs filesystem label ${vault.profile.mount.at} '${vault.profile.vault}#N.GENERATION.ID': a new epoch`,
  call: async () => {
    const record = await readRecord(vault.paths.record)
    const epoch = record?.epochs?.at(-1)
    if (!epoch || epoch.written) return
    const label = epochLabel(vault.profile.vault, epoch)
    await perform({
      on: vault.local,
      command: { argv: ['btrfs', 'filesystem', 'label', vault.profile.mount.at, label], deadline: 300_000 },
    })
    await updateRecord(vault.paths.record, (now) => ({
      ...now,
      epochs: learned(now.epochs ?? [], epoch, [], epoch.members),
    }))
  },
})

const unmount = (vault: Vault, at: string, silence: Silence): Action[] => [
  {
    on: vault.local,
    text: `btrfs balance, device remove, replace and scrub: cancel on ${at}   (resumed by the next up)`,
    call: () => endUpkeep(vault.local, at),
  },
  {
    on: vault.local,
    text: shellLine(syncCommand(at).argv),
    call: () => syncOut(vault, at, silence),
  },
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

/** Where nobody takes writes any more, or the filesystem has given up, there is nothing left to write out. */
const syncOut = async (vault: Vault, at: string, silence: Silence): Promise<void> => {
  const output = await vault.local.run(syncCommand(at))
  if (output.code === 0 || (await mountAt(at))?.forced || (await allParked(silence))) return
  throw commandFailed(vault.local.name, syncCommand(at).argv, output)
}

/** Ends whatever the kernel does to the whole filesystem. With every server silent it cannot be ended, and then it does not matter: the unmount says so. */
export const endUpkeep = async (local: Host, at: string): Promise<void> => {
  for (const end of [stopBalance, stopRemoval, stopReplace, stopScrub]) {
    try {
      await end(local, at)
    } catch (error) {
      if (!(error instanceof Fault)) throw error
    }
  }
}

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
      detail: [...holders.map(describeHolder), ...inside.map((m) => `mounted inside: ${m}`)].join('\n'),
      stands: 'the vault is mounted, untouched',
      next:
        inside.length > 0
          ? `unmount what is inside, then: cloudvault down ${vault.profile.vault}`
          : `end these programs, then: cloudvault down ${vault.profile.vault}   (with --kill it ends them, after asking)`,
    })
  },
})

export interface Mounted {
  readonly source: string
  readonly type: string
  readonly readOnly: boolean
  /** It was mounted for writing, and the filesystem gave that up after errors. */
  readonly forced: boolean
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
  const [wanted, real] = [before.split(' ')[5] ?? '', superOptions].map((options) =>
    options.split(',').includes('ro'),
  )
  return {
    type,
    source: unescapeMountinfo(source),
    readOnly: wanted === true || real === true,
    forced: wanted === false && real === true,
  }
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
