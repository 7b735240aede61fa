import type { Secret } from './secret.ts'

/** What goes to a command's stdin. Text is for file contents; key material is always a Secret. */
export type Input = string | Secret

/** A program to run somewhere: words, never a shell line (host/quote.ts makes the line at the SSH edge). */
export interface Command {
  readonly argv: readonly string[]
  readonly input?: Input
  /** Milliseconds until it is killed; every command has an end. Default: `defaultDeadline`. */
  readonly deadline?: number
  /** Needs root. A host whose user is not root puts `sudo -n` in front. Default true. */
  readonly root?: boolean
  /** Ends it early (on this machine only): for what only reads and would take hours. It then ends with code null. */
  readonly signal?: AbortSignal
}

/** 60 s: longer than any honest single step over a slow link, shorter than a person's patience. */
export const defaultDeadline = 60_000

/**
 * How a command ended. `code` null means it was killed by a signal or the connection went away while it ran:
 * nobody knows what it did, so it counts neither as failure nor as success ("unknown").
 */
export interface Output {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A machine that runs commands: this one, a server over SSH, or a script in a test. */
export interface Host {
  /** "here" for this machine, the member's name for a server. Used in dry runs and in error texts. */
  readonly name: string
  /**
   * Runs one command to its end.
   * @throws Fault exit 4 when its deadline passed or the host cannot be reached; exit 3 when the program does not exist.
   * A non-zero exit is not an error here: the caller knows what the codes of its tool mean.
   */
  run(command: Command): Promise<Output>
}

/** This machine: besides running commands it can take secrets from them and hold locks. */
export interface LocalMachine extends Host {
  /** Like `run`, but stdout is key material and never becomes a string. */
  runForSecret(command: Command): Promise<{ code: number | null; secret: Secret; stderr: string }>
  /**
   * Lets a program ask the person at this terminal by itself: its standard streams are ours, and so is a Ctrl-C.
   * @returns its exit code, null when a signal ended it
   * @throws Fault 3 when the program does not exist, 4 when its deadline passed
   */
  runOnTerminal(command: Command): Promise<number | null>
  /**
   * Holds flock(1) on a file until released or until this process ends, however it ends.
   * @param waitMs milliseconds to wait for somebody else who holds it; default none
   * @throws Fault 6 when somebody else holds it
   */
  lock(path: string, what: string, waitMs?: number): Promise<{ release(): Promise<void> }>
  /**
   * Asks logind not to let the machine sleep until released, or until this process ends. Where nobody can be asked (no
   * logind), nothing happens. Closing the lid still sleeps, and a person may insist.
   */
  stayAwake(why: string, what?: 'sleep' | 'sleep:shutdown'): { release(): Promise<void> }
}
