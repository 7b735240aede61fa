import { inspect } from 'node:util'

/**
 * Key bytes that do not print. Every accidental route (template string, JSON, console.log, error text) shows
 * "[secret]"; the only way to the bytes is `reveal()`, which is easy to grep for.
 */
export class Secret {
  #bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  reveal(): Uint8Array {
    return this.#bytes
  }

  /** Overwrites the bytes. A wiped secret reveals an empty array. */
  wipe(): void {
    this.#bytes.fill(0)
    this.#bytes = new Uint8Array(0)
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}
