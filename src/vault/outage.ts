import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, Fault } from '../fault.ts'
import { parkUnit } from '../names.ts'
import { type RecordData, updateRecord, withStale } from '../record/record.ts'
import { SessionLost } from '../server/session.ts'
import { answers, reconnect } from '../stack/attach.ts'
import type { MemberStack } from '../stack/order.ts'
import { park, unpark } from '../stack/park.ts'
import { mirrored } from '../stack/silence.ts'
import type { Supervisor } from '../stack/supervise.ts'
import type { Vault } from '../stack/vault.ts'

/**
 * One outage of one member, from the moment its link died to the moment it serves again. While patience lasts, what
 * was begun waits and a new connection is tried; then the member is parked, and tried on.
 */

/** From the first try to the steady rhythm, milliseconds. */
const pauses = [0, 250, 500, 1000, 2000]
/** A server that has been away for longer than patience is asked this often. */
const parkedPause = 5000

export interface Watch {
  readonly vault: Vault
  readonly record: RecordData
  readonly supervisor: Supervisor
  readonly signal: AbortSignal
  /** One line per change, for the journal. */
  readonly say: (line: string) => void
}

/**
 * @param dead the kernel said so; else the member is asked first
 * @returns whether the member missed writes, so that its copy has to be mended
 */
export const sitOut = async (watch: Watch, stack: MemberStack, dead: boolean): Promise<boolean> => {
  const { member } = stack
  const began = performance.now() // a clock that nobody sets
  // A monitor that was started again finds it parked; the kernel would call that connection alive.
  if (await isParked(watch, member.name)) return returnOf(watch, stack, began)
  if (!dead && (await answers(watch.vault, member.name, sizeOf(watch, member.name)))) return false
  let said = ''
  let hopeless = false
  for (let attempt = 0; !watch.signal.aborted; attempt++) {
    await pause(pauses[Math.min(attempt, pauses.length - 1)] ?? 0, watch)
    const left = member.patienceMs - (performance.now() - began)
    if ((left <= 0 || hopeless) && (await parkNow(watch, stack, began))) return returnOf(watch, stack, began)
    const problem = await reconnected(watch, stack, Math.max(left, 1000))
    if (problem === null) {
      watch.say(`${member.name}: back after ${seconds(began)} s, nothing was missed`)
      return false
    }
    said = sayOnce(watch, member.name, problem, said)
    // A server that was rebooted, or serves another machine now, will not know this session again: no use in waiting.
    hopeless = problem.exit === Exit.decide || problem instanceof SessionLost
  }
  return false
}

const isParked = async ({ vault, supervisor }: Watch, member: string): Promise<boolean> =>
  (await supervisor.probe(parkUnit(vault.profile.vault, member))).is === 'present'

/** A problem that lasts is news once. @returns what was said last */
const sayOnce = ({ say }: Watch, member: string, { message, details }: Fault, last: string): string => {
  if (message !== last) say(`${member}: ${message}${details.next ? `; next: ${details.next}` : ''}`)
  return message
}

const pause = (ms: number, { signal }: Watch): Promise<void> =>
  sleep(ms, undefined, { signal }).catch(() => {})

const seconds = (since: number): string => ((performance.now() - since) / 1000).toFixed(1)

/**
 * One try, which never lasts much longer than patience does.
 * @returns null when the same session serves again (or never stopped), else what is in the way
 */
const reconnected = async (watch: Watch, stack: MemberStack, deadlineMs: number): Promise<Fault | null> => {
  const { name } = stack.member
  const began = performance.now()
  try {
    await within(deadlineMs, watch.vault.fence(name), name)
    const left = Math.max(deadlineMs - (performance.now() - began), 1000)
    await reconnect(watch.vault, stack.member, stack.link, sizeOf(watch, name), { deadlineMs: left })
    return null
  } catch (error) {
    if (error instanceof Fault) return error
    throw error
  }
}

/** A fence that comes too late does no harm: the session has another nonce by then, and it is refused. */
const within = async (ms: number, fence: Promise<void>, member: string): Promise<void> => {
  const over = new AbortController()
  const late = sleep(ms, true, { signal: over.signal }).catch(() => false)
  const done = fence.then(
    () => false,
    (error: unknown) => {
      if (over.signal.aborted) return false
      throw error
    },
  )
  const isLate = await Promise.race([done, late])
  over.abort()
  if (isLate) throw new Fault(Exit.unreachable, 'its server does not answer', { member })
}

const sizeOf = ({ record }: Watch, member: string): number | null => record.members[member]?.sizeBytes ?? null

/**
 * Waits for a parked member. Its session is taken anew first: old requests of ours that still linger there are stopped,
 * and a server that was rebooted meanwhile serves again; what it lost with its memory is mended like everything else
 * it missed. Without a mirror nobody could mend it: the filesystem has seen errors, and only a new `up` is honest.
 */
const returnOf = async (watch: Watch, stack: MemberStack, began: number): Promise<boolean> => {
  const { vault, supervisor, say } = watch
  const { name } = stack.member
  if (!mirrored(vault)) {
    say(`${name}: without a mirror the vault cannot go on; take it down and up again when the server is back`)
    return false
  }
  let said = ''
  while (!watch.signal.aborted) {
    await pause(parkedPause, watch)
    try {
      await vault.rearm(name)
      // The kernel replaces dead connections only: the parking server has to go, once the real one answers.
      const ready = (): Promise<void> => unpark(vault, supervisor, name)
      if (!(await reconnect(vault, stack.member, stack.link, sizeOf(watch, name), { ready }))) continue
      say(`${name}: back after ${seconds(began)} s`)
      return true
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      said = sayOnce(watch, name, error, said)
      // What the other one wrote is not in this mount: writing there again would destroy it.
      if (error instanceof SessionLost) {
        say(`${name}: it will not be written from here any more; cloudvault down ${vault.profile.vault}`)
        return false
      }
    }
  }
  return false
}

/** Noted on disk first: were we killed now, nobody may think that this copy is whole. */
const parkNow = async (watch: Watch, { member }: MemberStack, began: number): Promise<boolean> => {
  const { vault, supervisor, say } = watch
  if (mirrored(vault)) await updateRecord(vault.paths.record, (now) => withStale(now, [member.name]))
  try {
    const done = await park(vault, supervisor, member.name, sizeOf(watch, member.name) ?? 0)
    const then = mirrored(vault) ? 'going on without it' : 'what was waiting fails with an error'
    if (done) say(`${member.name}: parked after ${seconds(began)} s; ${then}`)
    return done
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    say(`${member.name}: could not be parked: ${error.message}`)
    return false
  }
}
