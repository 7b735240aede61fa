import type { Observer } from '../engine/events.ts'
import { Exit, type ExitCode } from '../fault.ts'
import { openProfile } from '../profile/find.ts'
import { vaultPaths } from '../record/paths.ts'
import { removeSteps } from '../server/apply.ts'
import { unprovisionSteps } from '../server/steps.ts'
import { jsonLine } from '../ui/json.ts'
import { tasks } from '../ui/tasks.ts'
import { consent } from './consent.ts'
import { groupsOf, printPlan } from './plan.ts'
import { chooseMembers, perServer, planMembers } from './provision.ts'
import { connectMembers } from './provision-connect.ts'
import type { World } from './world.ts'

/** `cloudvault unprovision`: takes away from the servers exactly what the receipts there list, disks included. */

export interface UnprovisionOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
  /** The vault's name, typed. */
  readonly confirm?: string
}

/** @throws Fault 2 not confirmed, 4 unreachable, 5 host key not pinned or different, 6 a session is held */
export const unprovisionVerb = async (
  world: World,
  name: string,
  members: readonly string[],
  options: UnprovisionOptions,
): Promise<ExitCode> => {
  const { profile } = await openProfile(name, world.env)
  const chosen = chooseMembers(profile, members)
  const home = { local: world.local, paths: vaultPaths(profile.vault, world.env) }
  const names = chosen.map((member) => member.name).join(' and ')
  if (!options.dryRun) {
    const consequence = `This deletes the disk of ${profile.vault} at ${names}, with all that is in it.`
    await consent(world, profile.vault, options.confirm, consequence)
  }
  const remotes = await connectMembers(world, profile, chosen, new Map())
  try {
    const plans = await planMembers(
      remotes,
      (remote, member) => unprovisionSteps(remote, profile.vault, member, home),
      chosen,
    )
    const steps = [...plans.values()].flat()
    if (options.dryRun) {
      await printPlan(world, 'cloudvault.unprovision/1', steps, 'down', options.json === true)
      return Exit.ok
    }
    const run = (observe: Observer) =>
      perServer(remotes, plans, (own) => removeSteps(own, { signal: world.signal, observe }))
    const groups = groupsOf(profile.vault, [...plans.keys()], steps)
    const title = `unprovision ${profile.vault}`
    const removed = await tasks(world, title, groups, run, { json: options.json === true, direction: 'down' })
    const result = [...removed].map(([member, applied]) => ({ member, steps: applied }))
    if (options.json) {
      world.stdout.write(
        jsonLine({ schema: 'cloudvault.unprovision/1', vault: profile.vault, members: result }),
      )
      return Exit.ok
    }
    for (const { member, steps: own } of result) {
      const gone = own.filter(({ result: how }) => how === 'removed')
      world.stdout.write(
        `${member}: ${gone.length > 0 ? 'everything we made is gone' : 'nothing of ours was there'}\n`,
      )
    }
    return Exit.ok
  } finally {
    await Promise.all([...remotes.values()].map((remote) => remote.close()))
  }
}
