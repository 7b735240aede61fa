import type { Receipt } from '../engine/receipt.ts'
import { Exit, Fault } from '../fault.ts'
import { memberId } from '../names.ts'
import type { Profile } from '../profile/profile.ts'
import { newNonce } from '../server/session.ts'
import { findByBackend, freeIndex } from '../stack/attach/sysfs.ts'

/** What is chosen while planning, so that a dry run prints the very commands: session nonces and NBD indexes. */
export interface Facts {
  readonly nonces: Map<string, string>
  readonly indexes: ReadonlyMap<string, number>
}

/** What stands keeps its number and its nonce; the rest gets free ones. */
export const chooseFacts = async (profile: Profile, receipt: Receipt, goingUp: boolean): Promise<Facts> => {
  const nonces = new Map<string, string>()
  const indexes = new Map<string, number>()
  for (const { name } of profile.members) {
    const standing = await findByBackend(memberId(profile.vault, name))
    // A nonce is for one session. Coming up without a device, a session that was left behind (its server was silent
    // at the last down) is taken anew, so that whatever still lingers there from before is fenced out.
    const held = receipt.state(`session ${name}`) !== null && (standing !== null || !goingUp)
    nonces.set(name, (held ? receipt.facts[`nonce.${name}`] : undefined) ?? newNonce())
    indexes.set(name, standing ?? (await freeIndexOrGuess(indexes)))
  }
  return { nonces, indexes }
}

/** Before the module is loaded there are no devices to look at; then all of them will be free. */
const freeIndexOrGuess = async (taken: ReadonlyMap<string, number>): Promise<number> => {
  try {
    return await freeIndex(taken.values())
  } catch (error) {
    if (error instanceof Fault && error.exit === Exit.missing) return taken.size
    throw error
  }
}
