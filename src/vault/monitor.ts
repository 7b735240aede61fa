import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, Fault } from '../fault.ts'
import { type Job, jobTitle, targetOf } from '../record/job.ts'
import { type RecordData, readRecord, updateRecord } from '../record/record.ts'
import { onLinkDead } from '../stack/attach/linkdead.ts'
import { NoRoom } from '../stack/balance.ts'
import type { MemberStack } from '../stack/order.ts'
import { onWake } from './awake.ts'
import { tellFigures } from './figures.ts'
import { cannotResilver, resilverAlone } from './heal.ts'
import { cannotMove, moveAlone } from './move.ts'
import { noPast, sitOut, type Watch } from './outage.ts'
import { watchRefusals } from './refusals.ts'

/**
 * Watches a mounted vault. When the kernel announces that a member's connection died, the outage is sat out (see
 * outage.ts); when a member that missed writes is back, its copy is mended. A server that was rebooted does not know
 * the session any more and is not just reconnected: what it had acknowledged but not flushed may be gone, and nobody
 * above would notice.
 */

/** Runs until the signal aborts, or until other members take part than those it was started for. */
export const monitor = async (given: Watch, stacks: readonly MemberStack[]): Promise<void> => {
  const { vault, say } = given
  const changed = new AbortController()
  const signal = AbortSignal.any([given.signal, changed.signal])
  const watch = { ...given, signal }
  const mending = oneAtATime(() => mend(watch, proved))
  const dead = new Set<string>()
  const members = stacks.map((stack) => {
    const { name } = stack.member
    const past = noPast()
    return {
      past,
      index: vault.nbdIndex(name),
      name,
      attend: oneAtATime(() =>
        persistently(watch, name, async () => {
          const missed = await sitOut(watch, stack, past, dead.delete(name))
          dead.delete(name) // what was heard meanwhile may be older than the new connection: ask it
          if (missed) mending()
        }),
      ),
    }
  })
  // Everything was read from everybody: the next outage of any of them is a new one.
  function proved(): void {
    for (const { past } of members) Object.assign(past, noPast())
  }
  const heard = (index: number): void => {
    for (const member of members) {
      if (index !== -1 && member.index !== index) continue
      say(`${member.name}: the link is lost`)
      dead.add(member.name)
      member.attend()
    }
  }
  const listener = await onLinkDead(heard, signal)
  say(`watching ${members.map((member) => member.name).join(', ')}`)
  // Whatever died before we listened (or while an earlier monitor was dead) announced itself to nobody.
  for (const member of members) member.attend()
  mending()
  const woke = (missedMs: number): void => {
    say(`this machine stood still for ${Math.round(missedMs / 1000)} s; looking at every member`)
    for (const member of members) member.attend()
    mending()
  }
  await Promise.all([
    listener.done,
    watchRefusals(watch, mending),
    onWake(signal, woke),
    tellFigures(signal, say),
    watchJob(watch, () => changed.abort()),
  ])
}

/**
 * Runs the work when called, never twice at once; a call during a run starts another run after it, so that no alarm
 * is lost. A bug in the work ends the process: the supervisor starts a monitor that looks at everything anew.
 */
const oneAtATime = (work: () => Promise<unknown>): (() => void) => {
  let running = false
  let again = false
  const run = async (): Promise<void> => {
    running = true
    do {
      again = false
      await work()
    } while (again)
    running = false
  }
  return () => {
    if (running) again = true
    else
      void run().catch((error: unknown) => {
        setImmediate(() => {
          throw error
        })
      })
  }
}

/** Milliseconds until a member is looked at again whose look itself failed: on waking, every deadline has passed. */
const lookAgain = 5000

/** A fault (a program of this machine did not answer) is told and tried again; only a bug ends the monitor. */
const persistently = async (
  { signal, say }: Watch,
  name: string,
  work: () => Promise<void>,
): Promise<void> => {
  while (!signal.aborted) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      say(`${name}: ${error.message}; looking again`)
      await sleep(lookAgain, undefined, { signal }).catch(() => {})
    }
  }
}

/** What was cut off by an outage is soon tried again; what goes on failing, more and more seldom. Milliseconds. */
const mendPauses = [10_000, 30_000, 60_000, 300_000]

/** What cannot be mended now is mended when the member is back, or by the next `up`. */
const mend = async (watch: Watch, proved: () => void): Promise<void> => {
  const { vault, supervisor, signal, say } = watch
  for (let attempt = 0; !signal.aborted; attempt++) {
    const record = await readRecord(vault.paths.record)
    if (!record?.resilver || (await cannotResilver(vault, supervisor)) !== null) return
    say(`resilvering ${record.resilver.members.join(', ')}`)
    try {
      const { corrected } = await resilverAlone(vault, signal, () => {})
      say(`resilvered: ${corrected} blocks mended; every copy is right`)
      proved()
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      say(`the resilver did not finish: ${error.message}`)
      const pause = mendPauses[Math.min(attempt, mendPauses.length - 1)]
      await sleep(pause, undefined, { signal }).catch(() => {})
    }
  }
}

const jobLookMs = 5000

/**
 * A change of members that nobody else is at goes on here. Whoever takes part, and what can be counted on, was asked at
 * the start: when that is another now, this monitor ends, and its supervisor starts one that asks anew.
 */
const watchJob = async (watch: Watch, changed: () => void): Promise<void> => {
  const { vault, supervisor, signal, say } = watch
  const asked = partOf(watch.record)
  let looked = false
  let failures = 0
  let again = 0
  while (!signal.aborted) {
    if (looked) await sleep(jobLookMs, undefined, { signal }).catch(() => {})
    looked = true
    const record = await readRecord(vault.paths.record).catch(() => null)
    if (signal.aborted || record === null) continue
    if (partOf(record) !== asked) {
      say('who takes part, or what can be counted on, has changed; looking at everything anew')
      return changed()
    }
    if (record.job?.phase !== 'move') continue
    // Whoever types `resume` takes the trouble away, and wants it tried at once.
    if (performance.now() < again && record.job.trouble !== undefined) continue
    if ((await cannotMove(vault, supervisor)) !== null) continue
    try {
      if (await moveAlone(vault, signal, () => {})) say(`done: ${jobTitle(record.job)}`)
      failures = 0
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      if (error.exit === Exit.busy || error.exit === Exit.interrupted) continue
      // It fell silent while the kernel worked with it: told, and waited for, above.
      if ((await cannotMove(vault, supervisor)) !== null) continue
      const why = [error.message, ...(error.said ? [error.said] : [])].join(': ')
      say(`${jobTitle(record.job)} did not finish: ${why}`)
      await troubled(watch, record.job, why)
      const pause = mendPauses[Math.min(failures++, mendPauses.length - 1)] ?? 0
      // A full disk does not get emptier by itself, and a kernel that is asked too often gives the filesystem up.
      again = error instanceof NoRoom ? Number.POSITIVE_INFINITY : performance.now() + pause
    }
  }
}

/** What a monitor was started for, to compare. */
const partOf = ({ members, job }: RecordData): string =>
  JSON.stringify([Object.keys(members), targetOf({ ...(job ? { job } : {}) }), job?.from, job?.to])

/** Whoever follows the change, or looks at the status, is told why it does not go on; of one that was given up nobody asks. */
const troubled = ({ vault }: Watch, job: Job, trouble: string): Promise<void> =>
  updateRecord(vault.paths.record, (now) =>
    now.job?.since === job.since ? { ...now, job: { ...now.job, trouble } } : now,
  )
