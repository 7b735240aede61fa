import { setTimeout as sleep } from 'node:timers/promises'
import { together } from '../engine/together.ts'
import { Exit, Fault } from '../fault.ts'
import { parkUnit } from '../names.ts'
import { spareCopies } from '../profile/profile.ts'
import { type RecordData, sizesOf, updateRecord, withStale } from '../record/record.ts'
import { answers } from './attach.ts'
import { holdChange } from './hold.ts'
import { park, unpark } from './park.ts'
import { longestWait } from './patience.ts'
import type { Supervisor } from './supervise.ts'
import type { Vault } from './vault.ts'

/**
 * Servers that do not answer when a vault is taken down. An unmount waits for them in the kernel, and nothing can end
 * it; so a silent member is parked first. Only as long as enough others can take what is still to be written: while
 * there is hope for more than one may be missing, nothing is given up.
 */

/** The kernel gives an unanswered request up after 10 to 20 s; until then it takes no other connection. */
const parkTries = 40

export interface Silence {
  readonly vault: Vault
  readonly supervisor: Supervisor
  readonly record: RecordData
  /** Members that take part. */
  readonly members: readonly string[]
  readonly readOnly: boolean
}

/**
 * Members that are silent and not parked.
 * @throws Fault 4 when what is still to be written would be lost with them
 */
export const silentMembers = async (silence: Silence): Promise<string[]> => {
  const { vault, members, record, readOnly } = silence
  const looks = await together(
    members.map(async (name) => {
      if (await isParked(silence, name)) return { name, is: 'parked' }
      const sizes = sizesOf(record.members[name])
      return { name, is: (await answers(vault, name, sizes)) ? 'there' : 'silent' }
    }),
  )
  const silent = looks.filter(({ is }) => is === 'silent').map(({ name }) => name)
  const there = looks.filter(({ is }) => is === 'there')
  const { filesystem, members: all } = vault.profile
  const missing = all.length - there.length
  if (silent.length > 0 && missing > spareCopies[filesystem.assured] && !readOnly) throw hope(vault, silent)
  return silent
}

const hope = (vault: Vault, silent: readonly string[]): Fault => {
  const { vault: name } = vault.profile
  const patience = longestWait(vault.profile)
  return new Fault(
    Exit.unreachable,
    `${silent.join(', ')} does not answer, and no other copy is complete: going down now would lose what is not written yet`,
    {
      stands: `the vault is mounted, untouched; what is written waits, at most ${patience} s, and fails then`,
      next: `cloudvault down ${name}   when the servers answer again, or when their patience is over`,
    },
  )
}

/** Without a mirror nobody has what a member missed, and there is nothing to make it equal to. */
export const mirrored = ({ profile }: Pick<Vault, 'profile'>): boolean =>
  profile.filesystem.assured !== 'single'

/** Whether nobody can take a write any more: what was not fsynced before is lost, and waiting would not help. */
export const allParked = async (
  silence: Pick<Silence, 'vault' | 'supervisor' | 'members'>,
): Promise<boolean> =>
  (await together(silence.members.map((name) => isParked(silence, name)))).every((parked) => parked)

const isParked = async (
  { vault, supervisor }: Pick<Silence, 'vault' | 'supervisor'>,
  member: string,
): Promise<boolean> => (await supervisor.probe(parkUnit(vault.profile.vault, member))).is === 'present'

/** @throws Fault as silentMembers; Fault 4 when the kernel does not let go of a connection */
export const parkSilent = async (silence: Silence): Promise<void> => {
  const silent = await silentMembers(silence)
  await together(silent.map((name) => parkOne(silence, name)))
}

const parkOne = async (silence: Silence, name: string): Promise<void> => {
  const { vault, supervisor, record, readOnly } = silence
  const sizes = sizesOf(record.members[name])
  // Noted on disk first: were we killed now, nobody may think that this copy is whole.
  if (!readOnly && mirrored(vault)) await updateRecord(vault.paths.record, (now) => withStale(now, [name]))
  await holdChange(vault, name)
  for (let tries = 0; tries < parkTries; tries++) {
    if (await park(vault, supervisor, name, sizes)) return
    if (tries % 5 === 0 && (await answers(vault, name, sizes))) return unpark(vault, supervisor, name)
    await sleep(1000)
  }
  await unpark(vault, supervisor, name)
  throw new Fault(Exit.unreachable, 'it does not answer, and the kernel does not give its connection up', {
    member: name,
    stands: 'the vault is still mounted',
    next: `cloudvault status ${vault.profile.vault}`,
  })
}
