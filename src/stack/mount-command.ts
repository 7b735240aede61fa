import { perform } from '../engine/action.ts'
import type { Action } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { Output } from '../host/host.ts'
import { shellLine } from '../host/quote.ts'
import { mapperPath } from '../names.ts'
import { targetOf } from '../record/job.ts'
import type { RecordData } from '../record/record.ts'
import { readSuperblock } from './btrfs.ts'
import type { Vault } from './vault.ts'

/** The one command that mounts: which options, and which devices are named. */

export interface MountOptions {
  readonly readOnly: boolean
  /** Members that take part. Fewer than all: degraded. */
  readonly members: readonly string[]
}

const mountOptions = (vault: Vault, options: MountOptions, named: readonly string[]): string => {
  const { vault: name, members, filesystem } = vault.profile
  const degraded = options.members.length < members.length
  return [
    ...(options.readOnly ? ['ro'] : []),
    ...(degraded ? ['degraded'] : []),
    // A read-only mount replays the log all the same, which writes, and no epoch was begun for that.
    ...(degraded && options.readOnly ? ['rescue=nologreplay'] : []),
    'noatime',
    'nosuid',
    'nodev',
    ...(filesystem.compress ? [`compress=${filesystem.compress}`] : []),
    ...named.map((member) => `device=${mapperPath(name, member)}`),
  ].join(',')
}

const mountCommand = (vault: Vault, options: MountOptions, named: readonly string[]): Action => {
  const { at } = vault.profile.mount
  const source = mapperPath(vault.profile.vault, named[0] ?? '')
  return {
    on: vault.local,
    // -i and -t: no helper and no probing, which costs 50 round trips.
    command: {
      argv: ['mount', '-i', '-t', 'btrfs', '-o', mountOptions(vault, options, named), source, at],
      deadline: 300_000,
    },
    explain: (output) => mountFailed(at, output),
  }
}

/**
 * A newcomer must be named once the kernel works on it, and must not be before: cut off in between, it is blank yet, and
 * a mount that names a blank device fails.
 */
export const mountAll = (vault: Vault, options: MountOptions, record: RecordData): Action => {
  const target = targetOf(record)
  if (target === undefined || !options.members.includes(target))
    return mountCommand(vault, options, options.members)
  const whole = mountCommand(vault, options, options.members)
  return {
    on: vault.local,
    text: `${'command' in whole ? shellLine(whole.command.argv) : ''}   (without ${target} while it is blank)`,
    call: async () => {
      const block = await readSuperblock(vault.local, mapperPath(vault.profile.vault, target), false)
      const others = options.members.filter((member) => member !== target)
      await perform(block?.fsid === record.fsid ? whole : mountCommand(vault, options, others))
    },
  }
}

const mountFailed = (at: string, output: Output): Fault =>
  new Fault(Exit.decide, `the filesystem could not be mounted at ${at} (mount exit ${output.code})`, {
    detail: output.stderr,
    next: 'dmesg | tail   (Btrfs says there why)',
  })
