import { Exit, Fault } from '../fault.ts'
import { memberId } from '../names.ts'
import { type Member, spareCopies } from '../profile/profile.ts'
import { findByBackend } from '../stack/attach/sysfs.ts'
import type { Mounted } from '../stack/mount.ts'
import type { Context } from './context.ts'

/**
 * Who takes part in an `up`, and how: all members, or those that are there when a person has said that it may go on
 * without the rest.
 */

export interface Part {
  readonly members: readonly Member[]
  readonly readOnly: boolean
  /** Names of members of the profile that are not in it. */
  readonly missing: readonly string[]
}

export interface PartOptions {
  readonly readOnly?: boolean
  readonly degraded?: 'ro' | 'rw'
  readonly without?: readonly string[]
  readonly acceptRollback?: boolean
}

/** @throws Fault 2 for flags that do not belong together, before anything is contacted */
export const checkFlags = (context: Context, options: PartOptions): void => {
  const { vault, members } = context.profile
  const { without = [], degraded, readOnly, acceptRollback } = options
  const refuse = (what: string, next: string): never => {
    throw new Fault(Exit.usage, what, { stands: 'nothing was contacted', next })
  }
  const unknown = without.find((name) => !members.some((member) => member.name === name))
  if (unknown !== undefined)
    refuse(
      `${vault} has no member ${unknown}; it has ${members.map((member) => member.name).join(', ')}`,
      `cloudvault up ${vault} --help`,
    )
  if (without.length > 0 && degraded === undefined)
    refuse(
      '--without leaves a copy out, so it goes with --degraded',
      `cloudvault up ${vault} --degraded=ro --without ${without.join(' --without ')}`,
    )
  if (degraded === 'rw' && readOnly)
    refuse('--read-only and --degraded=rw contradict each other', `cloudvault up ${vault} --degraded=ro`)
  if (degraded === 'rw' && acceptRollback)
    refuse(
      '--accept-rollback goes with all members or with --degraded=ro: an older state is not written without the rest',
      `cloudvault up ${vault} --accept-rollback   when all of them answer`,
    )
}

/** Of a vault that is mounted: what it was mounted with stays, whatever the flags say now. */
export const standing = async (context: Context, mounted: Mounted, options: PartOptions): Promise<Part> => {
  const { members, vault } = context.profile
  const attached = await Promise.all(
    members.map(async (member) => (await findByBackend(memberId(vault, member.name))) !== null),
  )
  const missing = members.filter((_, index) => !attached[index]).map((member) => member.name)
  if (mounted.readOnly && !options.readOnly && options.degraded !== 'ro') {
    const how = missing.length > 0 ? ` without ${missing.join(', ')}` : ''
    throw new Fault(Exit.decide, `${vault} is mounted read-only${how}`, {
      stands: 'it stays as it is',
      next: `cloudvault down ${vault}, then cloudvault up ${vault}`,
    })
  }
  // A member that is attached and silent is the monitor's business; nothing can be asked of its server now.
  const reachable = members.filter(
    (member, index) => attached[index] && !context.unreachable.has(member.name),
  )
  return { members: reachable, readOnly: mounted.readOnly, missing }
}

/** @throws Fault 4 when too few answer, 7 when one is away and nobody said that it may be */
export const participants = (context: Context, options: PartOptions): Part => {
  const { members, vault, filesystem } = context.profile
  const missing = members
    .map((member) => member.name)
    .filter((name) => context.unreachable.has(name) || options.without?.includes(name))
  const present = members.filter((member) => !missing.includes(member.name))
  if (missing.length === 0)
    return { members, readOnly: options.readOnly === true || options.degraded === 'ro', missing }
  const [[first, why] = ['', undefined]] = context.unreachable.entries()
  const names = missing.join(', ')
  if (missing.length > spareCopies[filesystem.assured]) {
    throw (why ?? new Fault(Exit.decide, `without ${names} some of the files have no copy at all`)).with({
      ...(why ? { member: first } : {}),
      stands: 'nothing was mounted',
      next: `cloudvault up ${vault}   ${why ? 'when it answers again' : 'with all that answer'}`,
    })
  }
  if (options.degraded !== undefined)
    return { members: present, readOnly: options.degraded === 'ro', missing }
  throw new Fault(
    Exit.decide,
    `${names} cannot be reached; the other copy is complete, but the choice is yours`,
    {
      ...(first ? { member: first } : {}),
      detail: why?.message ?? '',
      stands: 'nothing was mounted',
      next:
        `cloudvault up ${vault}   when ${names} answers again, or cloudvault up ${vault} --degraded=ro   to read now,` +
        ` or cloudvault up ${vault} --degraded=rw   to go on writing with fewer copies until it is back`,
    },
  )
}
