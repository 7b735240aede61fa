import { perform } from '../../engine/action.ts'
import { climb } from '../../engine/climb.ts'
import type { Observer } from '../../engine/events.ts'
import type { Step } from '../../engine/step.ts'
import { Exit, Fault } from '../../fault.ts'
import { mapperPath } from '../../names.ts'
import type { Member } from '../../profile/profile.ts'
import { type Job, joined } from '../../record/job.ts'
import { readRecord, updateRecord } from '../../record/record.ts'
import { applySteps } from '../../server/apply.ts'
import { provisionSteps } from '../../server/steps.ts'
import { readSuperblock } from '../../stack/btrfs.ts'
import { blank, header } from '../../stack/format.ts'
import { memberRecord } from '../../stack/identify.ts'
import { kernel } from '../../stack/kernel.ts'
import { openLuks } from '../../stack/luks.ts'
import { memberStack } from '../../stack/order.ts'
import { tasks } from '../../ui/tasks.ts'
import { Context } from '../context.ts'
import { groupsOf } from '../plan.ts'
import type { World } from '../world.ts'
import type { HeldKey } from './held-key.ts'
import { newKit } from './kit.ts'

/**
 * The newcomer is set up and taken in: server, session, link, device, header, encryption, and then the one command after
 * which it is a member. Killed anywhere, the same runs again and goes on with what stands.
 */

/** A header, and a kit with all of them. */
const room = 32 * 1024 * 1024

/** @param job in its phase `prepare` */
export const enter = async (
  world: World,
  name: string,
  job: Job,
  { json, held }: { readonly json: boolean; readonly held: HeldKey },
): Promise<void> => {
  const context = await Context.open(world, name, { change: true, goingUp: true, touched: true, room })
  try {
    const newcomer = context.profile.members.find((member) => member.name === job.joins)
    if (newcomer === undefined)
      throw new Fault(Exit.decide, `${job.joins} is not in the profile any more`, {
        next: `cloudvault cancel ${context.profile.vault}`,
      })
    await context.connectAll([newcomer.name])
    const [away] = context.unreachable.values()
    if (away)
      throw away.with({
        stands: 'the vault is as it was',
        next: `cloudvault resume ${context.profile.vault}`,
      })
    const remote = context.vault.remote(newcomer.name)
    if (remote === null) throw new Error('connected, and no connection')
    const far = await provisionSteps(remote, context.profile.vault, newcomer, {
      local: world.local,
      paths: context.paths,
    })
    const near = nearSteps(context, newcomer, job)
    await context.saveFacts()
    if (await isAbsent(near.open)) await held.open(context)
    const all = [...far, ...near.steps]
    await tasks(
      world,
      `setting up ${newcomer.name}`,
      groupsOf(context.profile.vault, [newcomer.name], all),
      async (observe: Observer) => {
        await applySteps(far, { signal: world.signal, observe })
        await climb(near.steps, {
          receipt: context.receipt,
          signal: world.signal,
          perform: world.perform,
          observe,
        })
      },
      { json },
    )
    await takeIn(context, newcomer.name, job)
    await newKit(world, context)
  } finally {
    await context.close()
  }
}

const isAbsent = async (step: Step): Promise<boolean> => (await step.probe()).is !== 'present'

/** From the session up to the opened mapping. A header is made anew until something stands on it. */
const nearSteps = (
  { vault, supervisor, paths }: Context,
  { name }: Member,
  job: Job,
): { readonly steps: readonly Step[]; readonly open: Step } => {
  const member = vault.profile.members.find((entry) => entry.name === name) as Member
  const stack = memberStack(vault, member, [], { supervisor, takeOver: false })
  const claim: Step = {
    name: `blank disk ${name}`,
    needs: [stack.top],
    probe: async () => ({ is: job.claimed ? 'present' : 'absent' }),
    up: [
      blank(vault, name),
      {
        on: vault.local,
        text: `write ${paths.record}: the disk of ${name} is ours to format`,
        call: () =>
          updateRecord(paths.record, (record) =>
            record.job ? { ...record, job: { ...record.job, claimed: true } } : record,
          ),
      },
    ],
    down: [],
  }
  const open = openLuks(vault, name, [`header ${name}`])
  const made = header(vault, name, claim.name)
  const probe: Step['probe'] = async () => ((await isAbsent(open)) ? { is: 'absent' } : { is: 'present' })
  return { open, steps: [kernel(vault.local), ...stack.steps, claim, { ...made, probe }, open] }
}

/**
 * Adding: the kernel takes it in, and then we note who it is; what a kill in between leaves, the newcomer's superblock
 * tells. Replacing: the kernel takes it in when the copy begins.
 */
const takeIn = async ({ vault, paths, profile }: Context, name: string, job: Job): Promise<void> => {
  const record = await readRecord(paths.record)
  if (!record) throw new Fault(Exit.missing, `the record ${paths.record} vanished`)
  if (job.kind === 'replace')
    return updateRecord(paths.record, (now) =>
      now.job ? { ...now, job: { ...now.job, phase: 'move' } } : now,
    )
  const device = mapperPath(profile.vault, name)
  const there = async () => {
    const block = await readSuperblock(vault.local, device, false)
    return block?.fsid === record.fsid ? block : null
  }
  if ((await there()) === null) {
    await updateRecord(paths.record, (now) =>
      now.job ? { ...now, job: { ...now.job, joining: true } } : now,
    )
    // -f: an attempt that was given up may have left its filesystem; -K: a discard would tell what is empty.
    const argv = ['btrfs', 'device', 'add', '-f', '-K', device, profile.mount.at]
    await perform({ on: vault.local, command: { argv, deadline: 600_000 } })
  }
  const block = await there()
  if (block === null)
    throw new Fault(Exit.integrity, `${name} was added, and does not show it`, { member: name })
  const known = await memberRecord(vault, name, block)
  await updateRecord(paths.record, (now) => joined(now, name, known))
}
