import { Exit, type ExitCode } from '../fault.ts'
import { openProfile } from '../profile/find.ts'
import { vaultPaths } from '../record/paths.ts'
import { runbook } from '../vault/runbook.ts'
import type { World } from './world.ts'

/** `cloudvault runbook`: the vault by hand, with this machine's own paths. */
export const runbookVerb = async (world: World, name: string): Promise<ExitCode> => {
  const { profile } = await openProfile(name, world.env, { uid: world.uid })
  world.stdout.write(runbook(profile, vaultPaths(profile.vault, world.env).state))
  return Exit.ok
}
