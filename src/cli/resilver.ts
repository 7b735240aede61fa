import { Exit, type ExitCode, Fault } from '../fault.ts'
import { mountAt } from '../stack/mount.ts'
import { bytes } from '../ui/text.ts'
import { resilver } from '../vault/heal.ts'
import { Context, requireRoot } from './context.ts'
import { scrubProgress } from './scrub.ts'
import type { World } from './world.ts'

/** `cloudvault resilver`: a copy that missed writes is made equal again, and proved. Resumes what was cut off. */
export const resilverVerb = async (
  world: World,
  name: string,
  options: { readonly json?: boolean },
): Promise<ExitCode> => {
  requireRoot(world, 'resilver', name)
  const context = await Context.open(world, name, { change: true })
  try {
    const { vault, mount } = context.profile
    const mounted = await mountAt(mount.at)
    if (mounted === null || mounted.readOnly) {
      throw new Fault(Exit.decide, `${vault} is not mounted for writing`, { next: `cloudvault up ${vault}` })
    }
    const healed = await resilver(context.vault, world.signal, scrubProgress(world, options.json === true))
    if (options.json)
      world.stdout.write(`${JSON.stringify({ schema: 'cloudvault.resilver/1', vault, ...healed })}\n`)
    else
      world.stdout.write(
        `${vault}: ${bytes(healed.bytes)} read, ${healed.corrected} blocks mended; every copy is right\n`,
      )
    return Exit.ok
  } finally {
    await context.close()
  }
}
