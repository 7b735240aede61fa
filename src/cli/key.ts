import { Exit, type ExitCode, Fault } from '../fault.ts'
import type { Secret } from '../host/secret.ts'
import { findCredential } from '../keyring/credential.ts'
import { passphraseFrom } from '../keyring/passphrase.ts'
import { newRecoveryKey } from '../keyring/recovery.ts'
import {
  addSlot,
  changeKeyring,
  killSlot,
  listSlots,
  markRecovery,
  type Slot,
  slotOf,
} from '../keyring/slots.ts'
import { bootCredential } from '../names.ts'
import type { PassphraseSource } from '../profile/profile.ts'
import { keyringOf } from '../stack/home.ts'
import { noteKeyring, refuseOldKeyring } from '../stack/keyring-age.ts'
import { newPassword, password } from '../ui/ask.ts'
import { jsonLine } from '../ui/json.ts'
import { qrCode } from '../ui/qr.ts'
import { consent } from './consent.ts'
import { Context, requireRoot } from './context.ts'
import { parsePassphrase } from './init/draft.ts'
import { renewKit } from './renew-kit.ts'
import type { World } from './world.ts'

/**
 * `cloudvault key`: who may open the vault. The keyring is the one file to change: no server is contacted, nothing is
 * encrypted anew, and a vault that is up stays up.
 */

export interface KeyOptions {
  readonly json?: boolean
  /** Where the passphrase that opens it now comes from; the profile's source unless said otherwise. */
  readonly passphrase?: string
  /** Where the new one comes from; typed twice unless said otherwise. */
  readonly new?: string
  /** add: make a recovery key instead of taking a passphrase. */
  readonly recovery?: boolean
  readonly confirm?: string
}

const actions = ['list', 'change', 'add', 'remove'] as const
type Action = (typeof actions)[number]

export const keyVerb = async (
  world: World,
  action: string,
  name: string,
  slot: string | undefined,
  options: KeyOptions,
): Promise<ExitCode> => {
  if (!actions.includes(action as Action))
    throw usage(`key ${action} is not one of ${actions.join(', ')}`, `cloudvault key list ${name}`)
  requireRoot(world, `key ${action}`, name)
  const context = await Context.open(world, name, { change: action !== 'list' })
  try {
    await refuseOldKeyring(context.vault)
    const before = await listSlots(world.local, keyringOf(context.vault))
    const done = await work[action as Action]({ world, context, options, slots: before, slot })
    if (action !== 'list' && context.record) await noteKeyring(context.paths)
    const slots = await listSlots(world.local, keyringOf(context.vault))
    // The kit holds the keyring: one from before this change opens with what opened it then.
    const kit = action === 'list' ? null : await renewKit(context)
    const kept = (await findCredential(bootCredential(context.profile.vault))) !== null
    const escrowed = context.record?.escrow !== undefined
    await tell(world, context, { ...done, action, slots, kit, escrowed, kept }, options.json === true)
    return Exit.ok
  } finally {
    await context.close()
  }
}

interface Work {
  readonly world: World
  readonly context: Context
  readonly options: KeyOptions
  readonly slots: readonly Slot[]
  readonly slot: string | undefined
}

interface Done {
  /** In a sentence. */
  readonly said: string
  /** Made now, to be shown once. */
  readonly recovery?: Secret
}

const work: Record<Action, (work: Work) => Promise<Done>> = {
  list: async () => ({ said: '' }),
  change: async (work) => {
    const [old, fresh] = [await existing(work), await newOne(work)]
    try {
      refuseSame(old, fresh)
      const keyring = keyringOf(work.context.vault)
      const slot = await slotOf(work.world.local, keyring, old)
      await changeKeyring(work.world.local, keyring, { before: old, after: fresh }, async (copy) => {
        await addSlot(work.world.local, copy, old, fresh)
        await killSlot(work.world.local, copy, slot)
      })
      return { said: 'the passphrase is changed; the old one opens nothing here any more' }
    } finally {
      old.wipe()
      fresh.wipe()
    }
  },
  add: async (work) => {
    const { recovery } = work.options
    const old = await existing(work)
    const fresh = recovery ? newRecoveryKey() : await newOne(work)
    try {
      refuseSame(old, fresh)
      const keyring = keyringOf(work.context.vault)
      await changeKeyring(work.world.local, keyring, { before: old, after: fresh }, async (copy) => {
        const made = await addSlot(work.world.local, copy, old, fresh)
        if (recovery) await markRecovery(work.world.local, copy, made)
      })
      if (recovery) return { said: 'a recovery key is added', recovery: fresh }
      fresh.wipe()
      return { said: 'a passphrase is added' }
    } finally {
      old.wipe()
    }
  },
  remove: async (work) => {
    const number = Number(work.slot)
    const { vault } = work.context.profile
    if (!work.slots.some((slot) => slot.number === number))
      throw usage(
        `the keyring has no slot ${work.slot ?? '(name one)'}; it has ${work.slots.map((slot) => slot.number).join(', ')}`,
        `cloudvault key list ${vault}`,
      )
    const stays = await existing(work)
    try {
      const keyring = keyringOf(work.context.vault)
      if ((await slotOf(work.world.local, keyring, stays)) === number) throw ownSlot(vault, number)
      const consequence = `Slot ${number} will never open ${vault} again.`
      await consent(work.world, vault, work.options.confirm, consequence)
      await changeKeyring(work.world.local, keyring, { before: stays, after: stays }, (copy) =>
        killSlot(work.world.local, copy, number),
      )
      return { said: `slot ${number} is destroyed` }
    } finally {
      stays.wipe()
    }
  },
}

/** A passphrase that opens the keyring now. */
const existing = ({ world, context, options }: Work): Promise<Secret> =>
  passphraseFrom(source(options.passphrase, '--passphrase') ?? context.profile.unlock.passphrase, world, () =>
    password(world, {
      message: `Passphrase of ${context.profile.vault}, as it is now:`,
      flag: '--passphrase SOURCE',
    }),
  )

const newOne = ({ world, context, options }: Work): Promise<Secret> =>
  passphraseFrom(source(options.new, '--new') ?? { kind: 'prompt' }, world, () =>
    newPassword(world, {
      message: `A new passphrase for ${context.profile.vault}:`,
      flag: '--new SOURCE',
      minimum: 8,
    }),
  )

const source = (text: string | undefined, flag: string): PassphraseSource | undefined => {
  if (text === undefined) return undefined
  const parsed = parsePassphrase(text)
  if ('value' in parsed) return parsed.value
  throw usage(`${flag} ${parsed.fault}`, `${flag} file:/root/new.pass`)
}

const refuseSame = (old: Secret, fresh: Secret): void => {
  if (Buffer.compare(old.reveal(), fresh.reveal()) === 0)
    throw usage('the new passphrase is the old one', 'the same command with another passphrase')
}

const ownSlot = (vault: string, slot: number): Fault =>
  new Fault(
    Exit.decide,
    `slot ${slot} is the one that this passphrase opens: nobody would get in with it again`,
    {
      stands: 'nothing was changed',
      next: `cloudvault key remove ${vault} ${slot} --passphrase SOURCE   (of a passphrase that stays), or cloudvault key change ${vault}`,
    },
  )

const usage = (message: string, next: string): Fault =>
  new Fault(Exit.usage, message, { stands: 'nothing was changed', next })

interface Told extends Done {
  readonly action: string
  readonly slots: readonly Slot[]
  readonly kit: string | null
  /** The servers hold opaque copies of an older kit. */
  readonly escrowed: boolean
  /** `enable` keeps a passphrase for the boot. */
  readonly kept: boolean
}

const tell = async (world: World, context: Context, told: Told, json: boolean): Promise<void> => {
  const { vault } = context.profile
  const { action, slots, kit } = told
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
  if (told.kept && action !== 'list') lines.push(keptLine(vault))
  if (recovery) lines.push(`recovery key, shown this once; keep it away from the servers:`, recovery)
  if (code) lines.push(code)
  world.stdout.write(`${lines.join('\n')}\n`)
}

const escrowLine = (vault: string): string =>
  `next: cloudvault escrow ${vault}   (the copies on the servers open with what opened them before)`

const keptLine = (vault: string): string =>
  `next: cloudvault enable ${vault}   (makes sure that the passphrase kept for the boot still opens it)`

const kitLine = (vault: string, kit: string | null): string =>
  kit
    ? `recovery kit: ${kit} is written anew; copies of the old one open with the old passphrases: replace them`
    : `next: cloudvault kit ${vault}   (the recovery kit is older than this change; replace its copies)`
