import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, Fault } from '../fault.ts'
import { describeHolder, endHolders, holdersOf, mountsInside } from '../stack/holders.ts'
import { escapeLine } from '../ui/style.ts'
import { consent } from './consent.ts'
import type { Context } from './context.ts'
import type { World } from './world.ts'

/**
 * `down --kill`: the programs that keep the vault busy are shown, asked about and ended; exactly those that were
 * shown. What the kernel itself holds (a mount inside) cannot be ended and is left for the usual refusal.
 */
export const endPrograms = async (
  world: World,
  context: Context,
  confirmed: string | undefined,
): Promise<void> => {
  const { vault, mount } = context.profile
  const [holders, mountinfo] = await Promise.all([
    holdersOf(mount.at),
    readFile('/proc/self/mountinfo', 'utf8'),
  ])
  if (holders.length === 0 || mountsInside(mountinfo, mount.at).length > 0) return
  const lines = holders.map((holder) => escapeLine(describeHolder(holder)))
  world.stderr.write(`${mount.at} is in use by\n${lines.map((line) => `  ${line}`).join('\n')}\n`)
  const what = holders.length === 1 ? 'This program' : `These ${holders.length} programs`
  await consent(
    world,
    vault,
    confirmed,
    `${what} will be ended.`,
    'nothing was ended, the vault is untouched',
  )
  const left = await endHolders(holders)
  if (left.length === 0) return goneToo(mount.at)
  throw new Fault(Exit.busy, `${mount.at} is in use by programs that cannot be ended`, {
    detail: left.map(describeHolder).join('\n'),
    stands: 'the vault is mounted, untouched',
    next: `cloudvault status ${vault}   (a program that waits for a silent server ends when that answers)`,
  })
}

/** What the ended programs had started was not shown, so it is not ended; it gets a moment to end by itself. */
const goneToo = async (at: string): Promise<void> => {
  for (let waited = 0; waited < 25 && (await holdersOf(at)).length > 0; waited++) await sleep(200)
}
