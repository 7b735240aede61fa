import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, type ExitCode, Fault } from '../../fault.ts'
import { monitorUnit } from '../../names.ts'
import type { Job } from '../../record/job.ts'
import { readRecord, updateRecord } from '../../record/record.ts'
import { type Rotation, rotationTitle, twinOf } from '../../record/rotation.ts'
import { mountAt } from '../../stack/mount.ts'
import { jsonLine } from '../../ui/json.ts'
import { progressLines } from '../../ui/progress.ts'
import { cannotResilver, resilverAlone } from '../../vault/heal.ts'
import { readProgress } from '../../vault/progress.ts'
import { Context } from '../context.ts'
import type { World } from '../world.ts'
import { memberNamed, mustBeWhole } from './begin.ts'

/**
 * Between two members of a rotation: the copy that was just made is read whole and proved equal, and only then the next
 * member has its turn. Everything else of a turn is an ordinary replacement (carry-on.ts).
 */

/** Begins the next member's turn, or ends the rotation when nobody is left. */
export const nextTurn = async (world: World, name: string, json: boolean): Promise<void> => {
  await proved(world, name, json)
  const context = await Context.open(world, name, { change: true, touched: true })
  try {
    const { record, paths, written } = context
    const { rotation } = record ?? {}
    if (!record || !rotation || record.job) return
    const [next] = rotation.left.filter((member) => record.members[member] !== undefined)
    if (next === undefined) return updateRecord(paths.record, ({ rotation: _, ...rest }) => rest)
    mustBeWhole(context)
    const becomes = twinOf(written, memberNamed(context, next))
    if (becomes === null) throw deviceDisk(written.vault, next)
    const { redundancy } = written.filesystem
    const job: Job = {
      ...{ kind: 'replace', phase: 'prepare', joins: becomes.name, leaves: next },
      ...{ from: redundancy, to: redundancy, since: new Date().toISOString(), twin: becomes.twin },
    }
    await updateRecord(paths.record, (now) => ({ ...now, job }))
    if (!json) world.stderr.write(`${rotationTitle(rotation)}; now ${next}, as ${becomes.name}\n`)
  } finally {
    await context.close()
  }
}

/** @throws Fault 7 */
export const deviceDisk = (vault: string, member: string): Fault =>
  new Fault(
    Exit.decide,
    `the disk of ${member} is a device, and there is no second one beside it for a new key`,
    {
      member,
      stands: 'nothing was changed',
      next: `cloudvault replace ${vault} ${member} --with name=…,ssh=…,device=…   (another disk has another key, too)`,
    },
  )

/** Twenty days of them, one every two seconds. */
const looks = (20 * 24 * 3600) / 2

/** Waits until every copy is known to be whole; a member that is silent meanwhile is waited for as well. */
const proved = async (world: World, name: string, json: boolean): Promise<void> => {
  const context = await Context.open(world, name, { change: false })
  try {
    const { vault, supervisor, paths, profile } = context
    const show = progressLines(world, json)
    for (let look = 0; look < looks; look++) {
      const record = await readRecord(paths.record)
      if (!record?.rotation || record.resilver === undefined) return
      if ((await mountAt(profile.mount.at)) === null) throw notMounted(profile.vault, record.rotation)
      const watched = (await supervisor.probe(monitorUnit(profile.vault))).is === 'present'
      if (!watched && (await cannotResilver(vault, supervisor)) === null) {
        await resilverAlone(vault, world.signal, show).catch(unlessBusy)
        continue
      }
      const progress = await readProgress(paths.progress)
      if (progress) show(progress)
      await sleep(2000, undefined, { signal: world.signal }).catch(() => {
        throw stopped(profile.vault, record.rotation)
      })
    }
    throw new Fault(Exit.unreachable, 'the copies were not equal within 20 days')
  } finally {
    await context.close()
  }
}

const unlessBusy = (error: unknown): void => {
  if (!(error instanceof Fault) || error.exit !== Exit.busy) throw error
}

const notMounted = (vault: string, rotation: Rotation): Fault =>
  new Fault(Exit.decide, `${rotationTitle(rotation)}, and ${vault} is not mounted`, {
    stands: 'every file is there',
    next: `cloudvault up ${vault}, then cloudvault resume ${vault}`,
  })

const stopped = (vault: string, rotation: Rotation | undefined): Fault =>
  new Fault(Exit.interrupted, 'stopped', {
    stands: rotation ? `${rotationTitle(rotation)}; the vault is in use as before` : 'the vault is in use',
    next: `cloudvault resume ${vault}   (goes on with the next member)`,
  })

/** @param rotation as it was when this run began */
export const tellRotated = async (
  world: World,
  name: string,
  rotation: Rotation,
  json: boolean,
): Promise<ExitCode> => {
  const context = await Context.open(world, name, { change: false })
  try {
    const { profile, record } = context
    const members = Object.keys(record?.members ?? {})
    const escrowed = record?.escrow !== undefined
    if (json) {
      const shown = { vault: profile.vault, members, since: rotation.since, escrowed }
      world.stdout.write(jsonLine({ schema: 'cloudvault.key-rotate/1', ...shown }))
    } else world.stdout.write(`${rotatedLines(profile.vault, members, escrowed).join('\n')}\n`)
    return Exit.ok
  } finally {
    await context.close()
  }
}

const rotatedLines = (vault: string, members: readonly string[], escrowed: boolean): string[] => [
  `${vault}: every member has a new volume key: ${members.join(', ')}; the old headers and the old keyring are destroyed here`,
  '  Old recovery kits open nothing any more but what a provider may have kept of the old disks: delete them all.',
  ...(escrowed ? [`next: cloudvault escrow ${vault}   (the copies on the servers are of the old keys)`] : []),
]
