import { perform } from '../engine/action.ts'
import type { CallAction } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import { farSide } from '../names.ts'
import { putFile, readRemote } from './files.ts'

/**
 * The server's own receipt: what provision made there, so that unprovision removes exactly that. It lies on the
 * server, for any machine that has the profile may unprovision. One per export, and one for what exports share.
 */

/** `making` is written before the change: after a kill it says what may stand half-done. */
export interface Made {
  readonly state: 'making' | 'made'
  /** What exactly: packages, directories, files. */
  readonly what: readonly string[]
}

interface ReceiptText {
  schema: 'cloudvault.server-receipt/1'
  made: Record<string, Made>
}

export const sharedReceiptPath = '/etc/cloudvault/shared.json'

export class ServerReceipt {
  readonly path: string
  readonly #host: Host
  readonly #made: Map<string, Made>

  private constructor(host: Host, path: string, made: Map<string, Made>) {
    this.#host = host
    this.path = path
    this.#made = made
  }

  /** @throws Fault 7 when it is there but cannot be understood: guessing what is ours would be worse */
  static async read(host: Host, path: string): Promise<ServerReceipt> {
    const text = await readRemote(host, path)
    return new ServerReceipt(host, path, text === null ? new Map() : parse(text, path, host.name))
  }

  get(item: string): Made | undefined {
    return this.#made.get(item)
  }

  get items(): readonly string[] {
    return [...this.#made.keys()]
  }

  /** An action that writes down what is about to be made, or was. */
  mark(item: string, state: Made['state'], what: readonly string[] | (() => readonly string[])): CallAction {
    return this.#change(`record "${item} ${state}"`, () => {
      this.#made.set(item, { state, what: typeof what === 'function' ? what() : what })
    })
  }

  forget(item: string): CallAction {
    return this.#change(`strike out "${item}"`, () => this.#made.delete(item))
  }

  #change(text: string, change: () => void): CallAction {
    return {
      on: this.#host,
      text: `${text} in ${this.path}`,
      call: async () => {
        change()
        const content: ReceiptText = {
          schema: 'cloudvault.server-receipt/1',
          made: Object.fromEntries(this.#made),
        }
        await perform(putFile(this.#host, this.path, `${JSON.stringify(content, null, 2)}\n`, '0600'))
      },
    }
  }
}

/** Path of the receipt of one export. */
export const receiptPath = (vault: string, member: string): string =>
  `${farSide(vault, member).etc}/receipt.json`

const parse = (text: string, path: string, member: string): Map<string, Made> => {
  try {
    const data = JSON.parse(text) as ReceiptText
    const entries = Object.entries(data.made)
    const fine = entries.every(
      ([, made]) =>
        ['making', 'made'].includes(made.state) && made.what.every((what) => /^[\w@:+=./~ -]*$/.test(what)),
    )
    if (data.schema === 'cloudvault.server-receipt/1' && fine) return new Map(entries)
  } catch {
    // told below, the same as a well-formed file of another kind
  }
  throw new Fault(Exit.decide, `the receipt ${path} on the server cannot be understood`, {
    member,
    stands: 'nothing was changed',
    next: 'look at it on the server; it lists what cloudvault made there',
  })
}
