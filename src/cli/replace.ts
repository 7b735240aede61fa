import { Exit, type ExitCode, Fault } from '../fault.ts'
import type { Job } from '../record/job.ts'
import { bytesOf } from '../ui/text.ts'
import { type ChangeOptions, isDead, mayBegin, memberNamed, propose } from './change/begin.ts'
import { carryOn } from './change/carry-on.ts'
import { meeting, newcomerFrom } from './change/newcomer.ts'
import { limitOf, memberSizes, planChange, sizeOf } from './change/plan.ts'
import { Context, requireRoot } from './context.ts'
import type { World } from './world.ts'

/**
 * `cloudvault replace`: another server takes a member's place, while the vault is in use; the old one may be dead. It
 * moves every byte once, where adding and removing would move it several times.
 */

export interface ReplaceOptions extends ChangeOptions {
  /** "name=…,ssh=…", and what else differs from the member that goes. */
  readonly with?: string
  /** Read from the old one only where no other copy is right. */
  readonly failing?: boolean
}

export const replaceVerb = async (
  world: World,
  name: string,
  leaves: string,
  options: ReplaceOptions,
): Promise<ExitCode> => {
  requireRoot(world, 'replace', name)
  const context = await Context.open(world, name, { change: true, touched: true })
  try {
    await mayBegin(context)
    const old = memberNamed(context, leaves)
    const { redundancy } = context.profile.filesystem
    const dead = await isDead(context, leaves)
    const drafted = await newcomerFrom(world, context, options.with, old, redundancy)
    const joins = drafted.member.name
    const oldBytes = context.record?.members[leaves]?.sizeBytes ?? 0
    const newBytes = sizeOf(drafted.member, oldBytes)
    if (newBytes < oldBytes)
      throw new Fault(Exit.usage, `${joins} is smaller than ${leaves}: ${bytesOf(newBytes, oldBytes)}`, {
        stands: 'nothing was changed',
        next: `the same command with a size of at least that, or cloudvault resize ${context.profile.vault} ${leaves} first`,
      })
    const job: Job = {
      ...{ kind: 'replace', phase: 'prepare', joins, leaves, from: redundancy, to: redundancy },
      since: new Date().toISOString(),
      ...(dead || options.failing ? { failing: true } : {}),
      ...limitOf(options.limit),
    }
    const exit = await meeting(
      world,
      context,
      drafted,
      options.acceptHostKey ?? [],
      async (newcomer, remote) => {
        const plan = await planChange(context, job, newcomer, {
          sizes: [...memberSizes(context, leaves), newBytes],
          remotes: [remote],
        })
        return propose(world, context, plan, options)
      },
    )
    if (exit !== null) return exit
  } finally {
    await context.close()
  }
  return carryOn(world, name, options.json === true)
}
