import type { Kept } from '../keyring/credential.ts'
import type { Slot } from '../keyring/slots.ts'
import { jsonLine } from '../ui/json.ts'
import { qrCode } from '../ui/qr.ts'
import type { Done } from './key.ts'
import type { World } from './world.ts'

/** What `cloudvault key` says, and the one place where a new recovery key is shown. */

export interface Told extends Done {
  readonly vault: string
  readonly action: string
  readonly slots: readonly Slot[]
  readonly kit: string | null
  /** The servers hold opaque copies of an older kit. */
  readonly escrowed: boolean
  readonly kept: Kept
}

/** The slots, and after a change what is to be done next. */
export const tell = async (world: World, told: Told, json: boolean): Promise<void> => {
  const { vault, action, slots, kit } = told
  // Out of the Secret on purpose: this is the one place and the one time where it is shown.
  const recovery = told.recovery ? Buffer.from(told.recovery.reveal()).toString() : null
  told.recovery?.wipe()
  if (json) {
    const changed = action === 'list' ? {} : { kit, ...(recovery ? { recovery } : {}) }
    world.stdout.write(jsonLine({ schema: 'cloudvault.key/1', vault, action, slots, ...changed }))
    return
  }
  const code = recovery ? await qrCode(world, recovery) : null
  const lines = slots.map((slot) => `slot ${slot.number}  ${slot.kind}  ${slot.kdf}`)
  if (action !== 'list') lines.push(`${vault}: ${told.said}`, kitLine(vault, kit))
  if (told.escrowed && action !== 'list') lines.push(escrowLine(vault))
  if (told.kept !== 'none' && action !== 'list') lines.push(keptLine(vault, told.kept))
  if (recovery) lines.push(`recovery key, shown this once; keep it away from the servers:`, recovery)
  if (code) lines.push(code)
  world.stdout.write(`${lines.join('\n')}\n`)
}

const escrowLine = (vault: string): string =>
  `next: cloudvault escrow ${vault}   (the copies on the servers open with what opened them before)`

const keptLine = (vault: string, kept: Kept): string =>
  kept === 'renewed'
    ? 'the passphrase that is kept for the boot is the new one'
    : `next: cloudvault enable ${vault}   (makes sure that the passphrase kept for the boot still opens it)`

const kitLine = (vault: string, kit: string | null): string =>
  kit
    ? `recovery kit: ${kit} is written anew; copies of the old one open with the old passphrases: replace them`
    : `next: cloudvault kit ${vault}   (the recovery kit is older than this change; replace its copies)`
