import { Exit, Fault } from '../fault.ts'
import type { Secret } from '../host/secret.ts'
import { passphraseFrom } from '../keyring/passphrase.ts'
import type { PassphraseSource } from '../profile/profile.ts'
import { newPassword, password } from '../ui/ask.ts'
import type { Context } from './context.ts'
import { parsePassphrase } from './init/draft.ts'
import type { World } from './world.ts'

/** Where the verbs about keys get the passphrases that are there and the new ones. */

/** Sources as they are typed: "file:PATH". */
export interface Sources {
  readonly passphrase?: string
  readonly new?: string
}

/** A passphrase that opens the keyring now; the profile's source unless said otherwise. */
export const existingPassphrase = (world: World, { profile }: Context, sources: Sources): Promise<Secret> =>
  passphraseFrom(source(sources.passphrase, '--passphrase') ?? profile.unlock.passphrase, world, () =>
    password(world, {
      message: `Passphrase of ${profile.vault}, as it is now:`,
      flag: '--passphrase SOURCE',
    }),
  )

/** Typed twice unless said otherwise. */
export const newPassphrase = (world: World, { profile }: Context, sources: Sources): Promise<Secret> =>
  passphraseFrom(source(sources.new, '--new') ?? { kind: 'prompt' }, world, () =>
    newPassword(world, {
      message: `A new passphrase for ${profile.vault}:`,
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

export const usage = (message: string, next: string): Fault =>
  new Fault(Exit.usage, message, { stands: 'nothing was changed', next })
