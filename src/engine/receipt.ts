import { copyFile } from 'node:fs/promises'
import { readIfThere, unwritable, writeAtomic } from '../host/files.ts'

/**
 * What this client has set up right now, and must undo. On disk before the machine changes and after every change,
 * so that a kill at any moment leaves a true list. It holds no secrets.
 */

export type StepState = 'making' | 'made' | 'found'

export interface ReceiptData {
  readonly schema: 'cloudvault.receipt/1'
  /** Kernel state named here is gone when the machine's boot id is another one. */
  bootId: string
  /** Facts chosen while planning that `down` needs again: session nonces, NBD indexes. */
  facts: Record<string, string>
  /** In the order in which they were begun. */
  steps: { name: string; state: StepState }[]
}

export class Receipt {
  readonly #path: string
  readonly #data: ReceiptData
  /** Where the content of an unreadable receipt was kept; null when it was readable, or not there. */
  readonly damaged: string | null
  #writing: Promise<void> = Promise.resolve()

  private constructor(path: string, data: ReceiptData, damaged: string | null) {
    this.#path = path
    this.damaged = damaged
    this.#data = data
  }

  /**
   * Reads the receipt, or starts an empty one. A damaged receipt counts as lost, because names are enough to undo; a
   * copy of it is kept beside it.
   * @param bootId of the running kernel; steps of an earlier boot are forgotten unless they live on a server
   */
  static async open(
    path: string,
    bootId: string,
    survivesReboot: (step: string) => boolean,
  ): Promise<Receipt> {
    const text = await readIfThere(path)
    const known = parse(text)
    const damaged = text !== null && known === null ? `${path}.damaged` : null
    if (damaged) await copyFile(path, damaged).catch(() => {}) // only for curiosity: nothing depends on it
    const data = known ?? { schema: 'cloudvault.receipt/1', bootId, facts: {}, steps: [] }
    if (data.bootId !== bootId) {
      data.steps = data.steps.filter((step) => survivesReboot(step.name))
      data.bootId = bootId
    }
    return new Receipt(path, data, damaged)
  }

  get facts(): Readonly<Record<string, string>> {
    return this.#data.facts
  }

  get steps(): readonly { readonly name: string; readonly state: StepState }[] {
    return this.#data.steps
  }

  state(step: string): StepState | null {
    return this.#data.steps.find((entry) => entry.name === step)?.state ?? null
  }

  async setFacts(facts: Record<string, string>): Promise<void> {
    Object.assign(this.#data.facts, facts)
    await this.#save()
  }

  async mark(step: string, state: StepState): Promise<void> {
    const entry = this.#data.steps.find((known) => known.name === step)
    if (entry) entry.state = state
    else this.#data.steps.push({ name: step, state })
    await this.#save()
  }

  /**
   * Takes a step off the list. Never fails: what is noted and not there any more is looked for, not found, and harmless,
   * and a full disk must not stop the undoing of the rest.
   */
  async forget(step: string): Promise<void> {
    this.#data.steps = this.#data.steps.filter((entry) => entry.name !== step)
    await this.#save().catch(() => {})
  }

  /** Steps run in parallel but the file is one: saves queue up behind each other, and behind failed ones too. */
  #save(): Promise<void> {
    const write = this.#writing.then(() => this.#write())
    this.#writing = write.catch(() => {})
    return write
  }

  async #write(): Promise<void> {
    try {
      await writeAtomic(this.#path, `${JSON.stringify(this.#data, null, 2)}\n`)
    } catch (error) {
      throw unwritable('the receipt', this.#path, error)
    }
  }
}

const parse = (text: string | null): ReceiptData | null => {
  if (text === null) return null
  try {
    const data: unknown = JSON.parse(text)
    return isReceipt(data) ? data : null
  } catch {
    return null
  }
}

const isReceipt = (data: unknown): data is ReceiptData => {
  const candidate = data as Partial<ReceiptData> | null
  return (
    candidate?.schema === 'cloudvault.receipt/1' &&
    typeof candidate.bootId === 'string' &&
    typeof candidate.facts === 'object' &&
    candidate.facts !== null &&
    Object.values(candidate.facts).every((fact) => typeof fact === 'string') &&
    Array.isArray(candidate.steps) &&
    candidate.steps.every(
      (step) => typeof step.name === 'string' && ['making', 'made', 'found'].includes(step.state),
    )
  )
}
