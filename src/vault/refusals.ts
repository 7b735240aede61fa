import { setTimeout as sleep } from 'node:timers/promises'
import { parkUnit } from '../names.ts'
import { readRecord, updateRecord, withStale } from '../record/record.ts'
import { readDeviceErrors } from '../stack/btrfs.ts'
import { generations } from './behind.ts'
import type { Watch } from './outage.ts'

/**
 * A server whose disk is full answers at once and refuses: no link dies, nobody is alarmed, the kernel only counts and
 * goes on with the other copies. It is not parked, because nothing waits for it and only a write can show that there is
 * room again. It is named in the journal, and mended as soon as its disk takes whole commits.
 */

const lookMs = 30_000

/** Runs until the signal aborts. @param mending called when a member that refused writes takes them again */
export const watchRefusals = async (watch: Watch, mending: () => void): Promise<void> => {
  if (watch.vault.profile.filesystem.assured === 'single') return
  const seen = new Map<string, number>()
  while (!watch.signal.aborted) {
    for (const [name, { devid }] of Object.entries(watch.record.members)) {
      const errors = await readDeviceErrors(watch.record.fsid, devid)
      if (errors === null || errors.missing) continue
      const refused = errors.write + errors.flush
      const before = seen.get(name) ?? refused
      seen.set(name, refused)
      if (refused > before && !(await isAway(watch, name))) told(watch, name, refused, before)
      else if (refused > 0 && refused === before && (await isBack(watch, name))) mending()
    }
    await sleep(lookMs, undefined, { signal: watch.signal }).catch(() => {})
  }
}

const told = ({ say }: Watch, member: string, refused: number, before: number): void => {
  if (before === 0)
    say(`${member}: refuses writes (${refused} so far); its disk may be full; going on without it`)
}

/** Parked, or being mended: its errors are those of an outage that somebody attends to. */
const isAway = async ({ vault, supervisor }: Watch, member: string): Promise<boolean> => {
  if ((await supervisor.probe(parkUnit(vault.profile.vault, member))).is === 'present') return true
  const record = await readRecord(vault.paths.record)
  return record?.resilver?.members.includes(member) === true
}

/** No refusal since the last look, and its disk has a whole commit that is as new as anybody's. */
const isBack = async (watch: Watch, member: string): Promise<boolean> => {
  if (await isAway(watch, member)) return false
  const { held, newest } = await generations(watch.vault, watch.record, member)
  if (held === 0 || held < newest) return false
  await updateRecord(watch.vault.paths.record, (now) => withStale(now, [member]))
  watch.say(`${member}: takes writes again`)
  return true
}
