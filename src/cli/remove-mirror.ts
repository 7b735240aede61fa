import { Exit, type ExitCode, Fault } from '../fault.ts'
import { spareCopies } from '../profile/profile.ts'
import { readText } from '../profile/text.ts'
import type { Job } from '../record/job.ts'
import {
  begin,
  type ChangeOptions,
  mayBegin,
  memberNamed,
  mustBeWhole,
  redundancyOf,
  refuseParked,
} from './change/begin.ts'
import { carryOn } from './change/carry-on.ts'
import { withRedundancy } from './change/newcomer.ts'
import { limitOf, memberSizes, planChange, planLines, printChange, remotesOf } from './change/plan.ts'
import { consent } from './consent.ts'
import { Context, requireRoot } from './context.ts'
import type { World } from './world.ts'

/** `cloudvault remove-mirror`: a member leaves. What it holds is moved to the others first; then its disk is deleted. */

export interface RemoveOptions extends ChangeOptions {
  /** What is stored how often afterwards; must be said when fewer members are left than it needs. */
  readonly mirror?: string
  /** The vault's name, typed. */
  readonly confirm?: string
}

export const removeMirrorVerb = async (
  world: World,
  name: string,
  leaves: string,
  options: RemoveOptions,
): Promise<ExitCode> => {
  requireRoot(world, 'remove-mirror', name)
  const context = await Context.open(world, name, { change: true, touched: true })
  try {
    await mayBegin(context)
    mustBeWhole(context, leaves)
    memberNamed(context, leaves)
    const { vault, filesystem, path } = context.profile
    const sizes = memberSizes(context, leaves)
    const to = options.mirror === undefined ? filesystem.redundancy : redundancyOf(options.mirror)
    if (sizes.length === 0)
      throw new Fault(Exit.usage, `${leaves} is the only member of ${vault}`, {
        stands: 'nothing was changed',
        next: `cloudvault replace ${vault} ${leaves} --with name=…,ssh=…`,
      })
    if (sizes.length <= spareCopies[to])
      throw new Fault(
        Exit.decide,
        `${to} needs ${spareCopies[to] + 1} members, and without ${leaves} there ${sizes.length === 1 ? 'is one' : `are ${sizes.length}`}`,
        {
          stands: 'nothing was changed',
          next: `cloudvault remove-mirror ${vault} ${leaves} --mirror ${sizes.length === 1 ? 'single' : 'raid1'}   (fewer copies of everything), or cloudvault replace ${vault} ${leaves} --with name=…,ssh=…`,
        },
      )
    if (to !== filesystem.redundancy) await refuseParked(context, leaves)
    const before = await readText(path)
    const edited = { before, after: withRedundancy(before, to, path) }
    const job: Job = {
      ...{ kind: 'remove', phase: 'move', leaves, from: filesystem.redundancy, to },
      since: new Date().toISOString(),
      ...limitOf(options.limit),
    }
    const remotes = await remotesOf(context, leaves)
    const plan = await planChange(context, job, edited, { sizes, remotes })
    if (options.dryRun) return printChange(world, context, plan, options.json === true)
    if (!options.json) for (const line of planLines(context, plan)) world.stderr.write(`${line}\n`)
    const fewer = spareCopies[to] < spareCopies[filesystem.redundancy]
    const lost = fewer
      ? ` From then on ${spareCopies[to]} of the members may be lost, not ${spareCopies[filesystem.redundancy]}.`
      : ''
    await consent(
      world,
      vault,
      options.confirm,
      `The copy at ${leaves} is given up and its disk deleted.${lost}`,
    )
    await begin(context, edited, job)
  } finally {
    await context.close()
  }
  return carryOn(world, name, options.json === true)
}
