import { Exit, type ExitCode } from '../fault.ts'
import { bootCredential, scrubTimer } from '../names.ts'
import { openProfile } from '../profile/find.ts'
import { removeSteps } from '../server/apply.ts'
import { bootSteps, bootUnitPath } from '../stack/boot.ts'
import { noTimerStep } from '../stack/scrub-timer.ts'
import { jsonLine } from '../ui/json.ts'
import { tasks } from '../ui/tasks.ts'
import { requireRoot } from './context.ts'
import { type EnableOptions, requireSystemd } from './enable.ts'
import { keptPassphrase } from './enable-passphrase.ts'
import { printPlan } from './plan.ts'
import type { World } from './world.ts'

/** `cloudvault disable`: the vault stays down at the next boot. What stands now stays as it is; nothing of yours goes. */
export const disableVerb = async (world: World, name: string, options: EnableOptions): Promise<ExitCode> => {
  requireRoot(world, 'disable', name)
  await requireSystemd('nothing was there to be removed')
  const { vault } = (await openProfile(name, world.env, { uid: world.uid })).profile
  const kept = keptPassphrase(world.local, bootCredential(vault), async () => {})
  const unit = bootSteps(world.local, { vault, mountAt: '', bringUp: [], places: [], credential: null })
  const steps = [kept.step(null), ...unit, noTimerStep(world.local, vault)]
  if (options.dryRun) {
    await printPlan(world, 'cloudvault.disable/1', steps, 'down', options.json === true)
    return Exit.ok
  }
  const group = { group: vault, steps: steps.map((step) => step.name) }
  const removed = await tasks(
    world,
    `disable ${vault}`,
    [group],
    (observe) => removeSteps(steps, { signal: world.signal, observe }),
    { json: options.json === true, direction: 'down' },
  )
  if (options.json) {
    world.stdout.write(jsonLine({ schema: 'cloudvault.disable/1', vault, steps: removed }))
    return Exit.ok
  }
  const places: Record<string, string> = {
    passphrase: kept.path,
    'boot unit': bootUnitPath(vault),
    'scrub timer': scrubTimer(vault),
  }
  const gone = removed.flatMap(({ step, result }) => (result === 'removed' ? (places[step] ?? []) : []))
  world.stdout.write(
    gone.length > 0
      ? `${vault} stays down at the next boot; removed: ${gone.join(', ')}\n`
      : `${vault} was not enabled\n`,
  )
  return Exit.ok
}
