import type { Observer } from '../engine/events.ts'
import type { Step } from '../engine/step.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import type { RemoteHost } from '../host/ssh.ts'
import { openProfile } from '../profile/find.ts'
import type { Member, Profile } from '../profile/profile.ts'
import { vaultPaths } from '../record/paths.ts'
import { type Applied, applySteps } from '../server/apply.ts'
import { provisionSteps } from '../server/steps.ts'
import { jsonLine } from '../ui/json.ts'
import { tasks } from '../ui/tasks.ts'
import { groupsOf, printPlan } from './plan.ts'
import { acceptedKeys, connectMembers, type PinnedKey, pinKeys } from './provision-connect.ts'
import type { World } from './world.ts'

/** `cloudvault provision`: sets the servers up. Twice changes nothing, and says so. */

export interface ProvisionOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
  /** "member=SHA256:…", any number of them. */
  readonly acceptHostKey?: readonly string[]
}

/** @throws Fault 2 unknown member, 3 a server cannot be used, 4 unreachable, 5 host key or a foreign file, 6 session held */
export const provisionVerb = async (
  world: World,
  name: string,
  members: readonly string[],
  options: ProvisionOptions,
): Promise<ExitCode> => {
  const { profile, warnings } = await openProfile(name, world.env)
  for (const warning of warnings) world.stderr.write(`warning: ${warning}\n`)
  const chosen = chooseMembers(profile, members)
  const home = { local: world.local, paths: vaultPaths(profile.vault, world.env) }
  const remotes = await connectMembers(
    world,
    profile,
    chosen,
    acceptedKeys(options.acceptHostKey ?? [], profile),
  )
  try {
    const plans = await planMembers(
      remotes,
      (remote, member) => provisionSteps(remote, profile.vault, member, home),
      chosen,
    )
    if (options.dryRun) {
      await printPlan(
        world,
        'cloudvault.provision/1',
        [...plans.values()].flat(),
        'up',
        options.json === true,
      )
      return Exit.ok
    }
    const pinned = await pinKeys(world, profile, remotes)
    const run = (observe: Observer) =>
      perServer(remotes, plans, (steps) => applySteps(steps, { signal: world.signal, observe }))
    const steps = [...plans.values()].flat()
    const groups = groupsOf(profile.vault, [...plans.keys()], steps)
    const applied = await tasks(world, `provision ${profile.vault}`, groups, run, {
      json: options.json === true,
    })
    summary(world, profile, pinned, applied, options.json === true)
    return Exit.ok
  } finally {
    await Promise.all([...remotes.values()].map((remote) => remote.close()))
  }
}

/** @throws Fault 2 when one of the names is no member */
export const chooseMembers = (profile: Profile, names: readonly string[]): readonly Member[] => {
  const unknown = names.find((name) => !profile.members.some((member) => member.name === name))
  if (unknown === undefined)
    return profile.members.filter(({ name }) => names.length === 0 || names.includes(name))
  throw new Fault(Exit.usage, `${profile.vault} has no member ${unknown}`, {
    stands: 'nothing was contacted',
    next: `members of this profile: ${profile.members.map(({ name }) => name).join(', ')}`,
  })
}

/** Looks at all servers at once. @throws the faults of all that cannot be used, before any of them is changed */
export const planMembers = async (
  remotes: ReadonlyMap<string, RemoteHost>,
  plan: (remote: RemoteHost, member: Member) => Promise<Step[]>,
  members: readonly Member[],
): Promise<Map<string, Step[]>> => {
  const entries = members.flatMap((member) => {
    const remote = remotes.get(member.name)
    return remote ? [{ member, remote }] : []
  })
  const steps = await allOf(entries.map(({ member, remote }) => plan(remote, member)))
  return new Map(entries.map(({ member }, index) => [member.name, steps[index] ?? []]))
}

/** Servers side by side; members that share a server one after the other, for they share its receipt as well. */
export const perServer = async (
  remotes: ReadonlyMap<string, RemoteHost>,
  plans: ReadonlyMap<string, Step[]>,
  work: (steps: Step[]) => Promise<Applied[]>,
): Promise<Map<string, Applied[]>> => {
  const servers = new Map<string, string[]>()
  for (const member of plans.keys()) {
    const key = remotes.get(member)?.hostKey.fingerprint ?? member
    servers.set(key, [...(servers.get(key) ?? []), member])
  }
  const applied = new Map<string, Applied[]>()
  await allOf(
    [...servers.values()].map(async (members) => {
      for (const member of members) applied.set(member, await work(plans.get(member) ?? []))
    }),
  )
  return applied
}

/** Waits for all of them, also when one fails: the others are to finish what they began. */
const allOf = async <T>(work: readonly Promise<T>[]): Promise<T[]> => {
  const results = await Promise.allSettled(work)
  const failures = results.flatMap((result) =>
    result.status === 'rejected' ? [result.reason as unknown] : [],
  )
  if (failures.length > 0) throw failures.length === 1 ? failures[0] : new AggregateError(failures)
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
}

const summary = (
  world: World,
  profile: Profile,
  pinned: readonly PinnedKey[],
  applied: ReadonlyMap<string, readonly Applied[]>,
  json: boolean,
): void => {
  const changed = (steps: readonly Applied[]): boolean => steps.some(({ result }) => result !== 'present')
  if (json) {
    const members = [...applied].map(([member, steps]) => ({ member, changed: changed(steps), steps }))
    world.stdout.write(jsonLine({ schema: 'cloudvault.provision/1', vault: profile.vault, pinned, members }))
    return
  }
  for (const { member, trustedBy } of pinned) {
    const known = trustedBy === 'known_hosts' ? ' (known_hosts has it)' : ''
    world.stdout.write(`${member}: host key pinned in ${profile.path}${known}\n`)
  }
  for (const [member, steps] of applied) {
    const made = steps
      .filter(({ result }) => result !== 'present')
      .map(({ step }) => step.replace(` ${member}`, ''))
    world.stdout.write(`${member}: ${made.length > 0 ? `set up (${made.join(', ')})` : 'no change'}\n`)
  }
}
