import { Exit, type ExitCode } from '../fault.ts'
import { spareCopies } from '../profile/profile.ts'
import { readText } from '../profile/text.ts'
import type { Job } from '../record/job.ts'
import { begin, type ChangeOptions, mayBegin, mustBeWhole, redundancyOf } from './change/begin.ts'
import { carryOn } from './change/carry-on.ts'
import { withRedundancy } from './change/newcomer.ts'
import { agree, limitOf, memberSizes, planChange, planLines, printChange, remotesOf } from './change/plan.ts'
import { consent } from './consent.ts'
import { Context, requireRoot } from './context.ts'
import type { World } from './world.ts'

/** `cloudvault redundancy`: how often everything is stored, changed while the vault is in use. */

export interface RedundancyOptions extends ChangeOptions {
  /** The vault's name, typed: for fewer copies. */
  readonly confirm?: string
}

export const redundancyVerb = async (
  world: World,
  name: string,
  wanted: string,
  options: RedundancyOptions,
): Promise<ExitCode> => {
  requireRoot(world, 'redundancy', name)
  const to = redundancyOf(wanted)
  const context = await Context.open(world, name, { change: true })
  try {
    await mayBegin(context)
    mustBeWhole(context)
    const { vault, filesystem, path } = context.profile
    const from = filesystem.redundancy
    if (to === from) {
      if (options.json)
        world.stdout.write(`${JSON.stringify({ schema: 'cloudvault.change/1', vault, redundancy: to })}\n`)
      else world.stdout.write(`${vault} is ${to} already\n`)
      return Exit.ok
    }
    const before = await readText(path)
    const edited = { before, after: withRedundancy(before, to, path) }
    const since = new Date().toISOString()
    const job: Job = { kind: 'convert', phase: 'move', from, to, since, ...limitOf(options.limit) }
    const remotes = await remotesOf(context)
    const plan = await planChange(context, job, edited, { sizes: memberSizes(context), remotes })
    if (options.dryRun) return printChange(world, context, plan, options.json === true)
    if (spareCopies[to] < spareCopies[from]) {
      if (!options.json) for (const line of planLines(context, plan)) world.stderr.write(`${line}\n`)
      const lost = `From then on ${spareCopies[to]} of the members may be lost, not ${spareCopies[from]}.`
      await consent(world, vault, options.confirm, lost)
    } else await agree(world, context, plan, options)
    await begin(context, edited, job)
  } finally {
    await context.close()
  }
  return carryOn(world, name, options.json === true)
}
