import { setTimeout as sleep } from 'node:timers/promises'
import { commandFailed } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import { endedByOthers } from './balance.ts'
import { lengthy } from './lengthy.ts'

/**
 * One device takes another's place: everything that is on the old one is copied (from a mirror, where the old one does
 * not answer) while both are written to, and at the end the new one has the old one's number. The filesystem itself
 * knows that it is under way, so after a crash the kernel goes on with it at the next mount.
 */

export interface Replacing {
  readonly at: string
  /** Number of the device that goes. */
  readonly device: number
  /** The opened mapping that comes, at least as large. */
  readonly target: string
  /** Read from the old one only where no other copy is right. */
  readonly failing: boolean
  readonly signal: AbortSignal
  /** Called about every two seconds: 0 to 1. */
  readonly seen: (share: number) => Promise<void>
}

export type ReplaceState =
  | { readonly is: 'running'; readonly share: number }
  | { readonly is: 'finished' | 'canceled' | 'suspended' | 'none' }

/** Twenty days, at a look every two seconds. */
const looks = (20 * 24 * 3600) / 2

/** @throws Fault 6 when somebody ended it, 130 when interrupted: it then begins anew */
export const replaceDevice = async (local: Host, work: Replacing): Promise<void> => {
  const { at, device, target, failing, signal, seen } = work
  const look = async (): Promise<void> => {
    const state = await replaceState(local, at)
    if (state.is === 'running') await seen(state.share)
  }
  const stop = (): Promise<void> => stopReplace(local, at)
  if ((await replaceState(local, at)).is === 'running') return follow(local, at, { signal, look, stop })
  // -f: what a replace that was given up wrote onto it is no filesystem of anybody's.
  const flags = ['-B', '-f', ...(failing ? ['-r'] : [])]
  const argv = ['btrfs', 'replace', 'start', ...flags, `${device}`, target, at]
  const output = await lengthy(local, argv, { signal, look, stop })
  if (output.code !== 0 && /cancell?ed/i.test(output.stderr)) throw endedByOthers('the replacement')
  if (output.code !== 0) throw commandFailed(local.name, argv, output)
  await mustBeFinished(local, at)
}

/** Begun by a program that was killed, or taken up by the kernel at the mount: nobody waits for it, and it goes on. */
const follow = async (
  local: Host,
  at: string,
  {
    signal,
    look,
    stop,
  }: { readonly signal: AbortSignal; readonly look: () => Promise<void>; readonly stop: () => Promise<void> },
): Promise<void> => {
  for (let seen = 0; seen < looks; seen++) {
    await look()
    if ((await replaceState(local, at)).is !== 'running') return mustBeFinished(local, at)
    await sleep(2000, undefined, { signal }).catch(() => {})
    if (signal.aborted) {
      await stop()
      throw new Fault(Exit.interrupted, 'the replacement was stopped', {
        stands: 'the old member is one as before',
      })
    }
  }
  throw new Fault(Exit.unreachable, 'the replacement did not end within 20 days')
}

const mustBeFinished = async (local: Host, at: string): Promise<void> => {
  if ((await replaceState(local, at)).is !== 'finished') throw endedByOthers('the replacement')
}

/** Gives it up: the old device stays, what was copied counts for nothing. Nothing happens when none runs. */
export const stopReplace = async (local: Host, at: string): Promise<void> => {
  const argv = ['btrfs', 'replace', 'cancel', at]
  const output = await local.run({ argv, deadline: 600_000 })
  // 2: there is none.
  if (output.code !== 0 && output.code !== 2) throw commandFailed(local.name, argv, output)
}

export const replaceState = async (local: Host, at: string): Promise<ReplaceState> => {
  const argv = ['btrfs', 'replace', 'status', '-1', at]
  const output = await local.run({ argv, deadline: 120_000 })
  if (output.code !== 0) throw commandFailed(local.name, argv, output)
  return parseReplace(output.stdout)
}

/** "12.3% done, 0 write errs, 0 uncorr. read errs", or "Started on …, finished on …", or "Never started". */
export const parseReplace = (text: string): ReplaceState => {
  const [, percent] = /(\d+(?:\.\d+)?)% done/.exec(text) ?? []
  if (/finished on/.test(text)) return { is: 'finished' }
  if (/cancell?ed/.test(text)) return { is: 'canceled' }
  if (/suspended/.test(text)) return { is: 'suspended' }
  return percent === undefined ? { is: 'none' } : { is: 'running', share: Math.min(1, Number(percent) / 100) }
}
