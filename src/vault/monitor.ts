import { setTimeout as sleep } from 'node:timers/promises'
import { Fault } from '../fault.ts'
import type { RecordData } from '../record/record.ts'
import { onLinkDead } from '../stack/attach/linkdead.ts'
import { reconnect } from '../stack/attach.ts'
import type { MemberStack } from '../stack/order.ts'
import type { Vault } from '../stack/vault.ts'

/**
 * Watches a mounted vault: when the kernel announces that a member's connection died, it is given a new one, and the
 * writer that waited goes on. A server that was rebooted does not know the session any more and is not reconnected:
 * what it had acknowledged but not flushed may be gone, and nobody above would notice.
 */

/** From the first try to the steady rhythm, milliseconds. */
const pauses = [0, 250, 500, 1000, 2000]

/** Runs until the signal aborts. @param say one line per change, for the journal */
export const monitor = async (
  vault: Vault,
  record: RecordData,
  stacks: readonly MemberStack[],
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<void> => {
  const busy = new Set<string>()
  const revive = async (stack: MemberStack): Promise<void> => {
    const { name } = stack.member
    if (busy.has(name)) return
    busy.add(name)
    try {
      await untilConnected(vault, record, stack, signal, say)
    } finally {
      busy.delete(name)
    }
  }
  const heard = (index: number): void => {
    for (const stack of stacks) {
      if (index !== -1 && vault.nbdIndex(stack.member.name) !== index) continue
      say(`${stack.member.name}: the link is lost; reconnecting`)
      void revive(stack)
    }
  }
  const listener = await onLinkDead(heard, signal)
  say(`watching ${stacks.map((stack) => stack.member.name).join(', ')}`)
  // Whatever died before we listened (or while an earlier monitor was dead) announced itself to nobody.
  await Promise.all(stacks.map(revive))
  await listener.done
}

/** A dead link has no end of its own here: the kernel's dead_conn_timeout ends the device, `down` ends the monitor. */
const untilConnected = async (
  vault: Vault,
  record: RecordData,
  { member, link }: MemberStack,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<void> => {
  const since = Date.now()
  let last = ''
  for (let attempt = 0; !signal.aborted; attempt++) {
    await sleep(pauses[Math.min(attempt, pauses.length - 1)], undefined, { signal }).catch(() => {})
    try {
      const taken = await reconnect(vault, member, link, record.members[member.name]?.sizeBytes ?? null)
      if (taken) say(`${member.name}: reconnected after ${((Date.now() - since) / 1000).toFixed(1)} s`)
      return
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      if (error.message !== last) say(`${member.name}: ${error.message}`)
      last = error.message
    }
  }
}
