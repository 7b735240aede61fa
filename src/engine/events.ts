/**
 * What the engine says while it works. It tells everybody who listens and waits for nobody: drawing (ui/tasks.ts),
 * JSON lines and tests are all observers of the same events.
 */

/**
 * Where one step is now. `probing`, `making`, `mending` and `undoing` go on; every other state ends a step's line on the
 * screen. On the way down `absent` was not there to be undone, and `kept` stays because it is not ours or has no way back.
 */
export type StepState =
  | 'probing'
  | 'present'
  | 'making'
  | 'made'
  | 'mending'
  | 'undoing'
  | 'undone'
  | 'absent'
  | 'kept'
  | 'failed'
  | 'skipped'

export interface StepEvent {
  /** Name of the step as in the plan: "attach fsn". */
  readonly step: string
  /** The member it belongs to, or "vault". */
  readonly group?: string
  readonly state: StepState
  /** What was found or made, in a few words: "/dev/nbd0". */
  readonly note?: string
  /** Why it failed; only with `failed`. */
  readonly error?: Error
}

/** Must not throw and must not block. */
export type Observer = (event: StepEvent) => void
