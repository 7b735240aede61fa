import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, Fault } from '../fault.ts'
import { parkUnit } from '../names.ts'
import {
  type RecordData,
  readRecord,
  type Sizes,
  sizesOf,
  updateRecord,
  withoutStale,
  withStale,
} from '../record/record.ts'
import { SessionLost } from '../server/session.ts'
import { answers, reconnect } from '../stack/attach.ts'
import { holdChange } from '../stack/hold.ts'
import type { MemberStack } from '../stack/order.ts'
import { park, unpark } from '../stack/park.ts'
import { isLastCopy, patienceFor } from '../stack/patience.ts'
import { mirrored } from '../stack/silence.ts'
import type { Supervisor } from '../stack/supervise.ts'
import type { Vault } from '../stack/vault.ts'
import { lostGenerations } from './behind.ts'
import { inTurn, within } from './turn.ts'

/**
 * One outage of one member, from the moment its link died to the moment it serves again. While patience lasts, what
 * was begun waits and a new connection is tried; then the member is parked, and tried on.
 */

/** From the first try to the steady rhythm, milliseconds. */
const pauses = [0, 250, 500, 1000, 2000]
/** A server that has been away for longer than patience is asked this often; one that is lost again at once, less and less. */
const parkedPause = 5000
const longestPause = 320_000
/** A connection that dies again within this time was never back: the kernel takes up to 22 s to give up a silent one. */
const provedMs = 25_000

export interface Watch {
  readonly vault: Vault
  readonly record: RecordData
  readonly supervisor: Supervisor
  readonly signal: AbortSignal
  /** One line per change, for the journal. */
  readonly say: (line: string) => void
}

/** A member's last outage. Times are of performance.now(), a clock that nobody sets. */
export interface Past {
  began: number
  back: number
  /** How often in a row it was lost again at once. */
  relapses: number
}

export const noPast = (): Past => ({ began: 0, back: Number.NEGATIVE_INFINITY, relapses: 0 })

/**
 * The past with the link dead now. A server that greets well and then talks nonsense, or a line that flaps, would use
 * up no patience if every reconnect began a new outage, and what waits would wait for ever. The time it served counts
 * for nothing, the time it was away adds up.
 */
export const lostAgain = (past: Past, now: number): Past =>
  now - past.back < provedMs
    ? { ...past, began: now - (past.back - past.began), relapses: past.relapses + 1 }
    : { ...past, began: now, relapses: 0 }

/**
 * @param dead the kernel said so; else the member is asked first
 * @returns whether the member missed writes, so that its copy has to be mended
 */
export const sitOut = async (
  watch: Watch,
  stack: MemberStack,
  past: Past,
  dead: boolean,
): Promise<boolean> => {
  const { member } = stack
  // A monitor that was started again finds it parked; the kernel would call that connection alive.
  if (await isParked(watch, member.name)) return returnOf(watch, stack, past)
  if (!dead && (await answers(watch.vault, member.name, await sizesNow(watch, member.name)))) return false
  Object.assign(past, lostAgain(past, performance.now()))
  const { began } = past
  let said = ''
  let hopeless = false
  for (let attempt = 0; !watch.signal.aborted; attempt++) {
    await pause(pauses[Math.min(attempt, pauses.length - 1)] ?? 0, watch)
    const left = patienceFor(member, await isLast(watch, member.name)) - (performance.now() - began)
    if ((left <= 0 || hopeless) && (await parkNow(watch, stack, began, hopeless)))
      return returnOf(watch, stack, past)
    const outcome = await reconnected(watch, stack, Math.max(left, 1000))
    if (outcome === 'alive') return false
    if (outcome === 'replaced') {
      past.back = performance.now()
      if (await forgot(watch, member.name)) return true
      watch.say(`${member.name}: back after ${seconds(began)} s, nothing was missed`)
      return false
    }
    said = sayOnce(watch, member.name, outcome, said)
    // A server that was rebooted, or serves another machine now, will not know this session again: no use in waiting.
    hopeless = outcome.exit === Exit.decide || outcome instanceof SessionLost
  }
  return false
}

const isLast = async ({ vault, record }: Watch, member: string): Promise<boolean> =>
  isLastCopy((await readRecord(vault.paths.record)) ?? record, vault.profile.filesystem.assured, member)

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
 * @returns whether the kernel took the new connection or holds the old one for alive; a Fault is what is in the way
 */
const reconnected = async (
  watch: Watch,
  stack: MemberStack,
  deadlineMs: number,
): Promise<'alive' | 'replaced' | Fault> => {
  const { vault } = watch
  const { name } = stack.member
  const began = performance.now()
  try {
    return await inTurn(vault, name, deadlineMs, async (waited) => {
      const sizes = await sizesNow(watch, name)
      if (waited && (await answers(vault, name, sizes))) return 'alive'
      await within(deadlineMs, vault.fence(name), name)
      const left = Math.max(deadlineMs - (performance.now() - began), 1000)
      const done = await reconnect(vault, stack.member, stack.link, sizes, { deadlineMs: left })
      return done ? 'replaced' : 'alive'
    })
  } catch (error) {
    if (error instanceof Fault) return error
    throw error
  }
}

/** The same session, and yet an older disk: noted, so that the copy is mended. A target whose copy was given up is older. */
const forgot = async (watch: Watch, member: string): Promise<boolean> => {
  if (await isCopyTarget(watch, member)) return false
  const lost = await lostGenerations(watch.vault, watch.record, member)
  if (lost === null) return false
  await updateRecord(watch.vault.paths.record, (now) => withStale(now, [member]))
  watch.say(
    `${member}: lost what it had said was flushed: generation ${lost.held} on its disk, ${lost.newest} on the others`,
  )
  return true
}

/** Read afresh: a resize may have changed it since this monitor was started. */
const sizesNow = async ({ vault }: Watch, member: string): Promise<Sizes> =>
  sizesOf((await readRecord(vault.paths.record))?.members[member])

/**
 * Waits for a parked member. Its session is taken anew first: old requests of ours that still linger there are stopped,
 * and a server that was rebooted meanwhile serves again; what it lost with its memory is mended like everything else
 * it missed. Without a mirror nobody could mend it: the filesystem has seen errors, and only a new `up` is honest.
 */
const returnOf = async (watch: Watch, stack: MemberStack, past: Past): Promise<boolean> => {
  const { vault, supervisor, say } = watch
  const { name } = stack.member
  if (!mirrored(vault)) {
    say(`${name}: without a mirror the vault cannot go on; take it down and up again when the server is back`)
    return false
  }
  let said = ''
  while (!watch.signal.aborted) {
    await pause(Math.min(parkedPause * 2 ** past.relapses, longestPause), watch)
    try {
      await vault.rearm(name)
      // The kernel replaces dead connections only: the parking server has to go, once the real one answers.
      const ready = (): Promise<void> => unpark(vault, supervisor, name)
      if (!(await reconnect(vault, stack.member, stack.link, await sizesNow(watch, name), { ready })))
        continue
      past.back = performance.now()
      say(`${name}: back after ${seconds(past.began)} s`)
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

const isCopyTarget = async ({ vault }: Watch, member: string): Promise<boolean> => {
  const { job } = (await readRecord(vault.paths.record)) ?? {}
  return job?.kind === 'replace' && job.phase === 'move' && job.joins === member
}

/**
 * Noted on disk first: were we killed now, nobody may think that this copy is whole. Of two that are over at the same
 * moment, the one that is noted second is the last copy, and is waited for longer.
 */
const parkNow = async (
  watch: Watch,
  { member }: MemberStack,
  began: number,
  hopeless: boolean,
): Promise<boolean> => {
  const { vault, supervisor, say } = watch
  const { name } = member
  // A copy's target is no member yet: whoever reads has no use for it, and what it missed is copied anew.
  let noted = !mirrored(vault) || (await isCopyTarget(watch, name))
  if (!noted) {
    let waits = false
    await updateRecord(vault.paths.record, (now) => {
      noted = now.resilver?.members.includes(name) === true
      const last = isLastCopy(now, vault.profile.filesystem.assured, name)
      waits = !hopeless && performance.now() - began < patienceFor(member, last)
      return waits ? now : withStale(now, [name])
    })
    if (waits) return false
  }
  await holdChange(vault, name, say)
  try {
    if (await park(vault, supervisor, name, await sizesNow(watch, name))) {
      const then = mirrored(vault) ? 'going on without it' : 'what was waiting fails with an error'
      say(`${name}: parked after ${seconds(began)} s; ${then}`)
      return true
    }
    // The kernel holds its connection for alive: an alarm about an older one. Nothing was missed.
    await unpark(vault, supervisor, name)
    if (!noted) await updateRecord(vault.paths.record, (now) => withoutStale(now, name))
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    say(`${name}: could not be parked: ${error.message}`)
  }
  return false
}
