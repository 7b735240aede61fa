import { Exit, type ExitCode, Fault } from '../fault.ts'
import type { Redundancy } from '../profile/profile.ts'
import type { Job } from '../record/job.ts'
import { type ChangeOptions, mayBegin, mustBeWhole, propose, redundancyOf } from './change/begin.ts'
import { carryOn } from './change/carry-on.ts'
import { meeting, newcomerFrom } from './change/newcomer.ts'
import { limitOf, memberSizes, planChange, sizeOf } from './change/plan.ts'
import { Context, requireRoot } from './context.ts'
import type { World } from './world.ts'

/**
 * `cloudvault add-mirror`: one more server, while the vault is in use. From one server to two, an ordinary vault becomes
 * one that heals itself.
 */

export interface AddOptions extends ChangeOptions {
  /** "name=…,ssh=…,provider=…,size=…", or the name of one that stands in the profile. */
  readonly member?: string
  readonly mirror?: string
}

export const addMirrorVerb = async (world: World, name: string, options: AddOptions): Promise<ExitCode> => {
  requireRoot(world, 'add-mirror', name)
  const context = await Context.open(world, name, { change: true })
  try {
    await mayBegin(context)
    mustBeWhole(context)
    const { redundancy } = context.profile.filesystem
    const to = options.mirror === undefined ? mirrored(redundancy) : redundancyOf(options.mirror)
    const drafted = await newcomerFrom(world, context, options.member, undefined, to)
    const joins = drafted.member.name
    if (context.record?.members[joins])
      throw new Fault(Exit.usage, `${joins} is a member already`, { stands: 'nothing was changed' })
    const job: Job = {
      ...{ kind: 'add', phase: 'prepare', joins, from: redundancy, to, since: new Date().toISOString() },
      ...limitOf(options.limit),
    }
    const exit = await meeting(
      world,
      context,
      drafted,
      options.acceptHostKey ?? [],
      async (newcomer, remote) => {
        const others = memberSizes(context)
        const sizes = [...others, sizeOf(newcomer.member, Math.max(...others))]
        const plan = await planChange(context, job, newcomer, { sizes, remotes: [remote] })
        return propose(world, context, plan, options)
      },
    )
    if (exit !== null) return exit
  } finally {
    await context.close()
  }
  return carryOn(world, name, options.json === true)
}

/** Two servers are there so that one may be lost. */
const mirrored = (redundancy: Redundancy): Redundancy => (redundancy === 'single' ? 'raid1' : redundancy)
