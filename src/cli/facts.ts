import type { Receipt } from '../engine/receipt.ts'
import { Exit, Fault } from '../fault.ts'
import type { LocalMachine } from '../host/host.ts'
import { memberId } from '../names.ts'
import type { Profile } from '../profile/profile.ts'
import type { VaultPaths } from '../record/paths.ts'
import { noncePattern } from '../server/answer.ts'
import { newNonce } from '../server/session.ts'
import { deviceState, findByBackend, freeIndex } from '../stack/attach/sysfs.ts'

/** What is chosen while planning, so that a dry run prints the very commands: session nonces and NBD indexes. */
export interface Facts {
  readonly nonces: Map<string, string>
  readonly indexes: ReadonlyMap<string, number>
}

type Reserve = (index: number) => Promise<boolean>

/**
 * What stands keeps its number and its nonce; the rest gets free ones.
 * @param reserve keeps an index for us until we end, or says that another vault's `up` has it; absent: nothing is attached
 */
export const chooseFacts = async (
  profile: Profile,
  receipt: Receipt,
  reserve: Reserve | null,
): Promise<Facts> => {
  const nonces = new Map<string, string>()
  const indexes = new Map<string, number>()
  for (const { name } of profile.members) {
    const standing = await findByBackend(memberId(profile.vault, name))
    // A nonce is for one session. Coming up without a device, a session that was left behind (its server was silent
    // at the last down) is taken anew, so that whatever still lingers there from before is fenced out.
    const held = receipt.state(`session ${name}`) !== null && (standing !== null || reserve === null)
    const noted = held ? receipt.facts[`nonce.${name}`] : undefined
    nonces.set(name, noted !== undefined && noncePattern.test(noted) ? noted : newNonce())
    indexes.set(name, standing ?? (await ownIndex([...indexes.values()], reserve)))
  }
  return { nonces, indexes }
}

/** Between our looking and our connecting another vault may come up; bounded by the devices a kernel can have. */
const ownIndex = async (taken: readonly number[], reserve: Reserve | null): Promise<number> => {
  const refused: number[] = []
  while (refused.length < mostDevices) {
    const index = await freeIndexOrGuess([...taken, ...refused])
    if (reserve === null) return index
    // It may have been attached, and given back, since we looked.
    if ((await reserve(index)) && !(await deviceState(index)).connected) return index
    refused.push(index)
  }
  throw new Fault(Exit.busy, `${mostDevices} NBD devices are in use`, { stands: 'nothing was attached' })
}

const mostDevices = 256

/** Keeps an index until the verb ends, by a lock of its own; `false`: another `up` is going to attach that device. */
export const reserving =
  (local: LocalMachine, paths: VaultPaths, held: { release(): Promise<void> }[]): Reserve =>
  async (index) => {
    try {
      held.push(await local.lock(paths.device(index), `/dev/nbd${index}`))
      return true
    } catch (error) {
      if (error instanceof Fault && error.exit === Exit.busy) return false
      throw error
    }
  }

/** Before the module is loaded there are no devices to look at; then all of them will be free. */
const freeIndexOrGuess = async (taken: readonly number[]): Promise<number> => {
  try {
    return await freeIndex(taken)
  } catch (error) {
    if (!(error instanceof Fault) || error.exit !== Exit.missing) throw error
    return [...taken.keys(), taken.length].find((index) => !taken.includes(index)) ?? 0
  }
}
