import { setTimeout as sleep } from 'node:timers/promises'
import { Fault } from '../fault.ts'
import { parkUnit } from '../names.ts'
import { type RecordData, updateRecord, withStale } from '../record/record.ts'
import { reconnect } from '../stack/attach.ts'
import type { MemberStack } from '../stack/order.ts'
import { park, unpark } from '../stack/park.ts'
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

/** @returns whether the member missed writes, so that its copy has to be mended */
export const sitOut = async (watch: Watch, stack: MemberStack): Promise<boolean> => {
  const { member } = stack
  const began = performance.now() // a clock that nobody sets
  // A monitor that was started again finds it parked; the kernel would call that connection alive.
  if (await isParked(watch, member.name)) return returnOf(watch, stack, began)
  let said = ''
  for (let attempt = 0; !watch.signal.aborted; attempt++) {
    await pause(pauses[Math.min(attempt, pauses.length - 1)] ?? 0, watch)
    const left = member.patienceMs - (performance.now() - began)
    if (left <= 0 && (await parkNow(watch, stack))) return returnOf(watch, stack, began)
    const problem = await reconnected(watch, stack, Math.max(left, 1000))
    if (problem === null) {
      if (attempt > 0) watch.say(`${member.name}: back after ${seconds(began)} s, nothing was missed`)
      return false
    }
    if (problem.message !== said) watch.say(`${member.name}: ${problem.message}`)
    said = problem.message
  }
  return false
}

const isParked = async ({ vault, supervisor }: Watch, member: string): Promise<boolean> =>
  (await supervisor.probe(parkUnit(vault.profile.vault, member))).is === 'present'

const pause = (ms: number, { signal }: Watch): Promise<void> =>
  sleep(ms, undefined, { signal }).catch(() => {})

const seconds = (since: number): string => ((performance.now() - since) / 1000).toFixed(1)

/** @returns null when the same session serves again (or never stopped), else what is in the way */
const reconnected = async (watch: Watch, stack: MemberStack, deadlineMs: number): Promise<Fault | null> => {
  try {
    await reconnect(watch.vault, stack.member, stack.link, sizeOf(watch, stack.member.name), { deadlineMs })
    return null
  } catch (error) {
    if (error instanceof Fault) return error
    throw error
  }
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
  if (vault.profile.filesystem.redundancy === 'single') {
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
      if (error.message !== said) say(`${name}: ${error.message}`)
      said = error.message
    }
  }
  return false
}

/** Noted on disk first: were we killed now, nobody may think that this copy is whole. */
const parkNow = async (watch: Watch, { member }: MemberStack): Promise<boolean> => {
  const { vault, supervisor, say } = watch
  await updateRecord(vault.paths.record, (now) => withStale(now, [member.name]))
  try {
    const done = await park(vault, supervisor, member.name, sizeOf(watch, member.name) ?? 0)
    if (done)
      say(`${member.name}: parked after ${member.patienceMs / 1000} s of silence; going on without it`)
    return done
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    say(`${member.name}: could not be parked: ${error.message}`)
    return false
  }
}
