import { Secret } from '../../host/secret.ts'
import type { Context } from '../context.ts'

/**
 * The vault key, kept from one phase of a change to the next: a person is asked for the passphrase once, and not again
 * hours later for the next member.
 */
export class HeldKey {
  #key: Secret | null = null

  /** Gives the context the key; opens the keyring for that only the first time. */
  async open(context: Context): Promise<void> {
    if (this.#key) return context.holdKey(copyOf(this.#key))
    await context.unlock()
    this.#key = copyOf(await context.vault.vaultKey())
  }

  /** From now on this one; ours to wipe. */
  keep(key: Secret): void {
    this.wipe()
    this.#key = key
  }

  wipe(): void {
    this.#key?.wipe()
    this.#key = null
  }
}

const copyOf = (key: Secret): Secret => new Secret(Uint8Array.from(key.reveal()))
