import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, Fault } from '../fault.ts'
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

/** @returns whether the member missed writes meanwhile, so that its copy has to be mended */
export const sitOut = async (watch: Watch, stack: MemberStack): Promise<boolean> => {
  const { member } = stack
  const began = Date.now()
  let parked = false
  let said = ''
  for (let attempt = 0; !watch.signal.aborted; attempt++) {
    const pause = parked ? parkedPause : (pauses[Math.min(attempt, pauses.length - 1)] ?? 0)
    await sleep(pause, undefined, { signal: watch.signal }).catch(() => {})
    const problem = await tryAgain(watch, stack, parked)
    if (problem === null) {
      if (attempt > 0 || parked) watch.say(`${member.name}: back after ${seconds(began)} s`)
      return parked
    }
    if (problem.message !== said) watch.say(`${member.name}: ${problem.message}`)
    said = problem.message
    if (!parked && Date.now() - began >= member.patienceMs) parked = await parkNow(watch, stack)
  }
  return parked
}

const seconds = (since: number): string => ((Date.now() - since) / 1000).toFixed(1)

/** @returns null when the member serves again, else what is in the way */
const tryAgain = async (watch: Watch, stack: MemberStack, parked: boolean): Promise<Fault | null> => {
  const { vault, record, supervisor } = watch
  const size = record.members[stack.member.name]?.sizeBytes ?? null
  try {
    // The kernel replaces dead connections only: the parking server has to go first, once the real one answers.
    const ready = parked ? () => unpark(vault, supervisor, stack.member.name) : undefined
    const taken = await reconnect(vault, stack.member, stack.link, size, ready)
    return parked && !taken ? new Fault(Exit.unreachable, 'the kernel still holds the parking server') : null
  } catch (error) {
    if (error instanceof Fault) return error
    throw error
  }
}

/** Noted on disk first: were we killed now, nobody may think that this copy is whole. */
const parkNow = async (watch: Watch, { member }: MemberStack): Promise<boolean> => {
  const { vault, record, supervisor, say } = watch
  await updateRecord(vault.paths.record, (now) => withStale(now, [member.name]))
  try {
    const done = await park(vault, supervisor, member.name, record.members[member.name]?.sizeBytes ?? 0)
    if (done)
      say(`${member.name}: parked after ${member.patienceMs / 1000} s of silence; going on without it`)
    return done
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    say(`${member.name}: could not be parked: ${error.message}`)
    return false
  }
}
