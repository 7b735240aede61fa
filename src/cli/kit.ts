import { basename, join, resolve } from 'node:path'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { checkHome } from '../stack/home.ts'
import { jsonLine } from '../ui/json.ts'
import { writeKit } from '../vault/kit.ts'
import { Context, requireRoot } from './context.ts'
import type { World } from './world.ts'

/**
 * `cloudvault kit`: writes the recovery kit anew. What would go into it is looked at first: a kit of damaged files
 * must not take the place of a good one.
 */

export interface KitOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
  /** Directory; the state directory unless said otherwise. */
  readonly to?: string
}

export const kitVerb = async (world: World, name: string, options: KitOptions): Promise<ExitCode> => {
  requireRoot(world, 'kit', name)
  const to = options.to === undefined ? undefined : resolve(options.to)
  const context = await Context.open(world, name, { change: true, room: kitRoom })
  try {
    const { paths, record, profile } = context
    const { vault } = profile
    if (record?.phase !== 'created')
      throw new Fault(Exit.missing, `this machine has no finished record of ${vault}`, {
        next: `cloudvault status ${vault}`,
      })
    await checkHome(context.vault)
    const directory = to ?? paths.state
    if (options.dryRun) {
      const kit = join(directory, basename(paths.kit))
      if (options.json) world.stdout.write(jsonLine({ schema: 'cloudvault.kit/1', dryRun: true, vault, kit }))
      else world.stdout.write(`would write ${kit}\nnothing was changed (dry run)\n`)
      return Exit.ok
    }
    const kit = await writeKit(context.vault, directory)
    if (options.json) world.stdout.write(jsonLine({ schema: 'cloudvault.kit/1', vault, kit }))
    else world.stdout.write(`recovery kit: ${kit}\n${keepItElsewhere}`)
    return Exit.ok
  } finally {
    await context.close()
  }
}

/** Keyring, headers and the tar of both, with room to spare. */
export const kitRoom = 16 * 1024 * 1024

export const keepItElsewhere =
  '  Copy it to a place that is neither this machine nor one of the servers. With it and the passphrase\n' +
  '  nothing is lost when this machine is; without it, losing this machine loses the vault.\n'
