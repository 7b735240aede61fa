import { Exit, type ExitCode, Fault } from '../fault.ts'
import type { Secret } from '../host/secret.ts'
import { findCredential, type Kept, renewCredential } from '../keyring/credential.ts'
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
import { dropOrphans } from '../keyring/token.ts'
import { bootCredential } from '../names.ts'
import { keyringOf } from '../stack/home.ts'
import { noteKeyring, refuseOldKeyring } from '../stack/keyring-age.ts'
import { consent } from './consent.ts'
import { Context, requireRoot } from './context.ts'
import { addDevice, chosenDevice } from './key-device.ts'
import { existingPassphrase, newPassphrase, usage } from './key-passphrase.ts'
import { rotateKeys } from './key-rotate.ts'
import { tell } from './key-tell.ts'
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
  /** add: the TPM2 of this machine opens it. */
  readonly tpm2?: boolean
  /** add --tpm2: with a PIN besides. */
  readonly pin?: boolean
  /** add: a FIDO2 security key opens it. */
  readonly fido2?: boolean
  readonly confirm?: string
  /** rotate: everything is stored anew, under new keys. */
  readonly reencrypt?: boolean
  /** rotate: only the plan. */
  readonly dryRun?: boolean
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
  if (action === 'rotate') return rotateKeys(world, name, options)
  if (!actions.includes(action as Action))
    throw usage(`key ${action} is not one of ${actions.join(', ')}, rotate`, `cloudvault key list ${name}`)
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
    const there = (await findCredential(bootCredential(context.profile.vault))) !== null
    const kept = done.kept ?? (there ? 'other' : 'none')
    const escrowed = context.record?.escrow !== undefined
    const { vault } = context.profile
    await tell(world, { ...done, vault, action, slots, kit, escrowed, kept }, options.json === true)
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

export interface Done {
  /** In a sentence. */
  readonly said: string
  /** Made now, to be shown once. */
  readonly recovery?: Secret
  /** What became of the passphrase that `enable` keeps for the boot. */
  readonly kept?: Kept
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
      const kept = await renewCredential(
        work.world.local,
        bootCredential(work.context.profile.vault),
        old,
        fresh,
      )
      return { said: 'the passphrase is changed; the old one opens nothing here any more', kept }
    } finally {
      old.wipe()
      fresh.wipe()
    }
  },
  add: async (work) => {
    const { recovery } = work.options
    const device = chosenDevice(work.options)
    if (device) return addDevice(work.world, work.context, device, await existing(work))
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
        killSlot(work.world.local, copy, number).then(() => dropOrphans(work.world.local, copy)),
      )
      return { said: `slot ${number} is destroyed` }
    } finally {
      stays.wipe()
    }
  },
}

const existing = ({ world, context, options }: Work): Promise<Secret> =>
  existingPassphrase(world, context, options)

const newOne = ({ world, context, options }: Work): Promise<Secret> => newPassphrase(world, context, options)

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
