import { Exit, type ExitCode } from '../fault.ts'
import { openProfile } from '../profile/find.ts'
import { vaultPaths } from '../record/paths.ts'
import { readRecord } from '../record/record.ts'
import { supervisor } from '../stack/supervise.ts'
import { jsonLine } from '../ui/json.ts'
import { canvasOf, picture } from '../ui/picture.ts'
import { lookAt } from '../vault/health.ts'
import type { StatusReport, Verdict } from '../vault/status.ts'
import { requireRoot } from './context.ts'
import { watch } from './watch.ts'
import type { World } from './world.ts'

/** `cloudvault status`: one verdict, a line per member, the next command. It takes no lock and asks no server. */

/** Exit code of `--check` for each verdict; errors found count as 8 even when the vault goes on. */
const health: Record<Verdict, ExitCode> = {
  healthy: Exit.ok,
  down: Exit.decide,
  degraded: Exit.decide,
  resilvering: Exit.decide,
  'not mirrored': Exit.decide,
  stale: Exit.integrity,
  refused: Exit.trust,
}

export const statusVerb = async (
  world: World,
  name: string,
  options: { readonly json?: boolean; readonly check?: boolean; readonly watch?: boolean },
): Promise<ExitCode> => {
  requireRoot(world, 'status', name)
  const { profile } = await openProfile(name, world.env, { uid: world.uid })
  const paths = vaultPaths(profile.vault, world.env)
  const supervised = await supervisor(world.local, paths.run)
  const look = async (): Promise<StatusReport> =>
    lookAt({
      profile,
      paths,
      record: await readRecord(paths.record),
      local: world.local,
      supervisor: supervised,
    })
  if (options.watch) {
    const last = await watch(world, look, options.json === true)
    return options.check ? health[last.verdict] : Exit.ok
  }
  const report = await look()
  if (options.json) world.stdout.write(jsonLine(report))
  else world.stdout.write(`${picture(report, canvasOf(world)).join('\n')}\n`)
  return options.check ? health[report.verdict] : Exit.ok
}
