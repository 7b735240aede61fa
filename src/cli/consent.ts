import { Exit, Fault } from '../fault.ts'
import { typedName } from '../ui/ask.ts'
import type { World } from './world.ts'

/**
 * The consent for what cannot be taken back: the name of the vault, typed on the terminal or given by --confirm.
 * @param stands what a refusal says of how things are
 * @throws Fault 2 for another name, or when there is neither a terminal nor the flag
 */
export const consent = async (
  world: World,
  vault: string,
  given: string | undefined,
  consequence: string,
  stands = 'nothing was changed',
): Promise<void> => {
  if (given === vault) return
  if (given !== undefined) {
    throw new Fault(Exit.usage, `--confirm ${JSON.stringify(given)} is not the name of the vault`, {
      stands,
      next: `the same command with --confirm ${vault}`,
    })
  }
  await typedName(world, vault, consequence)
}
