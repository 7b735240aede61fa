/**
 * Expected failures, in the words a person reads. Everything that is not a Fault is a bug (exit 70, with a stack).
 * This file stands at the bottom of the tree: every layer may throw a Fault, only cli/ and main.ts print one.
 */

/** Exit codes of the command line (DESIGN section 9). They are an interface: scripts and units depend on them. */
export const Exit = {
  ok: 0,
  usage: 2,
  missing: 3,
  unreachable: 4,
  trust: 5,
  busy: 6,
  decide: 7,
  integrity: 8,
  secret: 9,
  bug: 70,
  interrupted: 130,
} as const

export type ExitCode = (typeof Exit)[keyof typeof Exit]

export interface FaultDetails {
  /** The member (provider's server) it happened on; absent when it is the whole vault or this machine. */
  readonly member?: string
  /** What stands now, so that nobody has to guess: "nothing was mounted", "fsn is attached". */
  readonly stands?: string
  /** The one command to type next. */
  readonly next?: string
  /** Last lines of a tool's own output. Printed escaped; it may come from a hostile server. */
  readonly detail?: string
  readonly cause?: unknown
}

/** An expected failure: what failed, where, what stands, what to type next. */
export class Fault extends Error {
  readonly exit: ExitCode
  readonly details: FaultDetails

  constructor(exit: ExitCode, what: string, details: FaultDetails = {}) {
    super(what, { cause: details.cause })
    this.name = 'Fault'
    this.exit = exit
    this.details = details
  }

  /** What the tool said of it: its first error, else its last line ('' without any). Not escaped. */
  get said(): string {
    const lines = (this.details.detail ?? '').trim().split('\n')
    // btrfs goes on with "There may be more info in syslog"; the command itself ("$ …") is no reason.
    const error = lines.find((line) => /^\s*error\b/i.test(line)) ?? lines.at(-1) ?? ''
    return error.startsWith('$ ') ? '' : error.trim()
  }

  /** The same fault with more said about it; what is already said wins. */
  with(details: FaultDetails): Fault {
    return new Fault(this.exit, this.message, { ...details, ...this.details })
  }
}
