import type { Step } from '../engine/step.ts'
import { monitorUnit } from '../names.ts'
import type { Member } from '../profile/profile.ts'
import { type RecordData, type Sizes, sizesOf } from '../record/record.ts'
import { assemble } from './assemble.ts'
import { attach } from './attach.ts'
import { keeper } from './keeper.ts'
import { kernel } from './kernel.ts'
import { type Link, linkOf } from './link/link.ts'
import { openLuks } from './luks.ts'
import { mount, mountPoint, refuseWhenBusy } from './mount.ts'
import { session } from './session.ts'
import { type Silence, silentMembers } from './silence.ts'
import type { Supervisor } from './supervise.ts'
import type { Vault } from './vault.ts'

/** The table of contents: a profile goes in, the steps come out, bottom to top. */

export interface OrderOptions {
  readonly supervisor: Supervisor
  /** Members that take part; all of the profile unless degraded was permitted. */
  readonly members: readonly Member[]
  readonly takeOver: boolean
}

/** Session, link and device of one member, and the link for later reconnects. */
export interface MemberStack {
  readonly member: Member
  readonly link: Link
  readonly steps: readonly Step[]
  /** Name of the topmost step. */
  readonly top: string
}

/** Up to /dev/nbdN: as far as `create` can go before there is anything on the disk. */
export const memberStack = (
  vault: Vault,
  member: Member,
  sizes: Sizes,
  options: Pick<OrderOptions, 'supervisor' | 'takeOver'>,
): MemberStack => {
  const taken = session(vault, member, options.takeOver)
  const link = linkOf(vault, member, options.supervisor, [taken.name])
  const below = link.steps.at(-1)?.name ?? taken.name
  const { supervisor } = options
  const device = attach(vault, member, link, { sizes, supervisor, needs: ['kernel', below] })
  return { member, link, steps: [taken, ...link.steps, device], top: device.name }
}

export const vaultSteps = (
  vault: Vault,
  record: RecordData,
  options: OrderOptions & {
    readonly readOnly: boolean
    readonly allowStale: boolean
    readonly acceptRollback?: boolean
    /** Program and arguments that watch this vault; none while it is being created. */
    readonly watch: readonly string[] | null
    /** Program and arguments that take this vault down when the machine goes down; null where nobody would run them. */
    readonly takeDown: readonly string[] | null
  },
): { readonly steps: readonly Step[]; readonly stacks: readonly MemberStack[] } => {
  const stacks = options.members.map((member) =>
    memberStack(vault, member, sizesOf(record.members[member.name]), options),
  )
  const opens = stacks.map((stack) => openLuks(vault, stack.member.name, [stack.top]))
  const attached = options.members.map((member) => member.name)
  // Before there is a record of them, and while it is made, everybody is a member.
  const none = Object.keys(record.members).length === 0
  const members = attached.filter((name) => none || record.members[name] !== undefined)
  const { supervisor, readOnly, takeOver, allowStale } = options
  const silence: Silence = { vault, supervisor, record, members: attached, readOnly }
  const together = assemble(vault, {
    record,
    members,
    readOnly,
    takeOver,
    allowStale,
    acceptRollback: options.acceptRollback === true,
    silence,
    needs: opens.map((step) => step.name),
  })
  const place = mountPoint(vault)
  const mounted = mount(vault, { readOnly, members: attached, silence, needs: [together.name, place.name] })
  const watching = options.watch ? [watcher(silence, options.watch, mounted.name)] : []
  const steps = [
    kernel(vault.local),
    ...stacks.flatMap((stack) => stack.steps),
    ...opens,
    place,
    together,
    mounted,
    ...watching,
  ]
  if (options.takeDown === null) return { steps, stacks }
  const kept = keeper(vault, options.takeDown)
  return { steps: [kept, ...steps.map((step) => onTopOf(kept, step))], stacks }
}

/** What stands on nothing stands on this. */
const onTopOf = (ground: Step, step: Step): Step =>
  step.needs.length > 0 ? step : { ...step, needs: [ground.name] }

/** The monitor goes first on the way down: it must not reconnect what is being taken apart. */
const watcher = (silence: Silence, argv: readonly string[], needs: string): Step => {
  const { vault, supervisor } = silence
  const unit = monitorUnit(vault.profile.vault)
  return {
    name: 'monitor',
    needs: [needs],
    probe: () => supervisor.probe(unit),
    up: supervisor.start(unit, argv),
    // A vault that stays mounted, because somebody uses it or because no server answers, must stay watched too.
    down: [
      refuseWhenBusy(vault, vault.profile.mount.at),
      {
        on: vault.local,
        text: 'read from every member; stop if too few answer to take what is not written yet',
        call: () => silentMembers(silence),
      },
      ...supervisor.stop(unit),
    ],
  }
}
