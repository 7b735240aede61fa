import type { Cost } from '../host/process.ts'
import type { Redundancy } from '../profile/profile.ts'
import type { Job } from '../record/job.ts'
import type { Rotation } from '../record/rotation.ts'
import type { Rates } from '../stack/traffic.ts'
import type { Progress } from './progress.ts'
import type { ScrubResult } from './scrubbed.ts'

/**
 * What `status` knows about a vault, as one value: the JSON of `status --json`, the text picture and the exit code of
 * `status --check` are all made from it. Sizes are bytes, durations milliseconds, times RFC 3339. What could not be
 * found out is absent, never guessed.
 */

/** The one word for the whole vault. The same word in JSON, on the screen and in alerts. */
export type Verdict = 'healthy' | 'degraded' | 'stale' | 'resilvering' | 'not mirrored' | 'refused' | 'down'

/** How one copy stands to the others. `alone` serves without a partner; `none` in a vault without mirrors. */
export type MirrorState = 'in sync' | 'alone' | 'stale' | 'resilvering' | 'absent' | 'none' | 'unknown'

interface LinkReport {
  readonly kind: string
  readonly state: 'up' | 'down' | 'unknown'
  /** In a few words, why: "no answer since 21:04 (patience 30 s)", "not attached". */
  readonly note?: string
}

/** Btrfs device statistics: errors since they were last zeroed. */
export interface DeviceErrors {
  readonly read: number
  readonly write: number
  readonly flush: number
  readonly corruption: number
  readonly generation: number
}

export interface MemberReport {
  readonly name: string
  readonly provider: string
  readonly link: LinkReport
  /** Milliseconds of one 4 KiB direct read at a random offset. */
  readonly latencyMs?: number
  /** "/dev/nbd0". */
  readonly device?: string
  readonly fillBytes?: number
  readonly sizeBytes?: number
  /** A resize to this size was begun and is not finished. */
  readonly resizingTo?: number
  /** Generation in this member's superblock; the last known one when the link is not up. */
  readonly generation?: number
  /** How many generations it lacks against the newest known; 0 when it has them all. */
  readonly generationBehind?: number
  readonly errors?: DeviceErrors
  readonly mirror: MirrorState
  readonly note?: string
  /** What went over its device in the last two seconds; in a watch only. */
  readonly io?: Rates
}

export interface ScrubReport {
  readonly state: 'never' | 'running' | 'finished' | 'aborted'
  readonly finishedAt?: string
  readonly durationMs?: number
  readonly bytes?: number
  /** Found and repaired from another mirror. */
  readonly corrected?: number
  /** Found and not repairable. */
  readonly uncorrectable?: number
  /** Of the one that runs: how far it is (0 to 1), and the milliseconds it may still take. */
  readonly share?: number
  readonly etaMs?: number
  /** When the next one starts, in words: "Sun 6 Dec 03:41"; and RFC 3339. */
  readonly next?: string
  readonly nextAt?: string
  /** The last twelve results, the newest first, with what was wrong at which provider. */
  readonly history?: readonly ScrubResult[]
}

export interface KitReport {
  /** `outdated`: older than the last change of keys, headers or members. */
  readonly state: 'current' | 'outdated' | 'missing'
  readonly writtenAt?: string
}

/** What works for the vault in the background. */
export interface ServicesReport {
  /** Hears of outages, sits them out and mends copies; while the vault is mounted. */
  readonly monitor?: 'running' | 'missing' | 'unknown'
  readonly monitorCost?: Cost
  /** Takes the vault down when the machine goes down; while it is mounted, where systemd runs. */
  readonly keeper?: 'running' | 'missing'
  /** Whether it comes up at the next boot; where systemd runs. */
  readonly atBoot?: boolean
}

export interface StatusReport {
  readonly schema: 'cloudvault.status/1'
  /** When it was looked at, RFC 3339. Every age in the picture counts from here. */
  readonly at: string
  readonly vault: string
  readonly verdict: Verdict
  /** What led to the verdict, the most important sentence first, and what else is not as it should be. */
  readonly why: readonly string[]
  readonly redundancy: Redundancy
  /** Different providers among the members. */
  readonly providers: number
  /** Mount point; absent when not mounted. */
  readonly mountedAt?: string
  readonly readOnly?: boolean
  readonly usedBytes?: number
  readonly totalBytes?: number
  /** How long it has been mounted. */
  readonly mountedMs?: number
  /** How long the verdict has held. */
  readonly sinceMs?: number
  readonly members: readonly MemberReport[]
  readonly scrub?: ScrubReport
  /** A change of members or redundancy that is under way, and how far it is. */
  readonly job?: Job & { readonly progress?: Progress }
  /** New volume keys for all members, one after the other. */
  readonly rotation?: Rotation
  /** How far a resilver is that is at work now. */
  readonly resilver?: Progress
  readonly kit?: KitReport
  readonly services?: ServicesReport
  /** Commands to type next, the best first. Empty: nothing to do. */
  readonly next: readonly string[]
}
