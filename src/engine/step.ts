import type { Command, Host, Output } from '../host/host.ts'
import type { Secret } from '../host/secret.ts'

/**
 * The vocabulary of everything cloudvault does: a step can be looked at, climbed and undone.
 * This folder knows no tool by name.
 */

/** The answer of a look. Only `absent` permits creation: a failed look is not a "no". */
export type Finding =
  | { readonly is: 'absent' }
  | { readonly is: 'present'; readonly note?: string }
  | { readonly is: 'differs'; readonly found: string; readonly next?: string }
  | { readonly is: 'unknown'; readonly why: string }

/** A command on a host that must exit 0 (or with one of `ok`). */
export interface RunAction {
  readonly on: Host
  readonly command: Command
  /** Key material for stdin, fetched only when the command really runs: a plan holds no secrets. */
  readonly feed?: () => Promise<Secret>
  /** Exit codes that count as done; default [0]. */
  readonly ok?: readonly number[]
  /** Turns a failed output into the error a person reads. Without it: the tool's last lines. */
  readonly explain?: (output: Output) => Error
}

/** Something that is not a program: a netlink call, a file written, a comparison. `text` is what --dry-run prints. */
export interface CallAction {
  readonly on: Host
  readonly text: string
  /** Its value is of no interest. */
  readonly call: () => Promise<unknown>
}

export type Action = RunAction | CallAction

/** One thing that can stand: look, up and down belong together. */
export interface Step {
  /** Unique in a plan, stable across runs (it is the key in the receipt): "attach fsn", "mount". */
  readonly name: string
  /** Names of the steps it stands on. They are up before it, and go down after it. */
  readonly needs: readonly string[]
  /** Reads, never writes. */
  probe(): Promise<Finding>
  readonly up: readonly Action[]
  readonly down: readonly Action[]
  /** Has no name of ours (a kernel module, a directory): found ones are left alone by `down`. */
  readonly shared?: boolean
  /**
   * Run when it stands and the receipt says that whoever made it was cut off: what comes after the making and had no
   * time to happen (a check, a wait).
   */
  readonly settle?: readonly Action[]
  /** Run when it is there already, to make sure that it is still good (a connection that may have died). Harmless when it is. */
  readonly refresh?: readonly Action[]
  /** Run instead of failing when the probe says `differs`: the step can mend itself (a dead link, say). */
  readonly mend?: readonly Action[]
}
