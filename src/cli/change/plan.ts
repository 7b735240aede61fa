import { randomBytes } from 'node:crypto'
import { Exit, type ExitCode, Fault } from '../../fault.ts'
import type { RemoteHost } from '../../host/ssh.ts'
import { type Member, spareCopies } from '../../profile/profile.ts'
import { parseSize } from '../../profile/units.ts'
import { type Job, jobTitle } from '../../record/job.ts'
import { readChunkTable, unconverted } from '../../stack/btrfs.ts'
import { usableBytes } from '../../stack/capacity.ts'
import { confirm } from '../../ui/ask.ts'
import { escapeLine } from '../../ui/style.ts'
import { bytes, duration } from '../../ui/text.ts'
import type { Context } from '../context.ts'
import type { World } from '../world.ts'
import type { Edited } from './newcomer.ts'

/** What a change will cost and risk, said before the question: bytes to move, at which rate, and how long that takes. */

export interface ChangePlan {
  readonly job: Job
  readonly profile: Edited
  /** Bytes that go over the line, both ways. */
  readonly moveBytes: number
  /** Bytes a second that the servers that are written to took just now, together; absent where none of them answers. */
  readonly rate?: number
  readonly etaMs?: number
  /** Sizes of the members afterwards. */
  readonly sizes: readonly number[]
  readonly usedBytes: number
}

/**
 * How often every byte crosses the line, in line times: measured side by side on one machine (a conversion reads it
 * once and writes every copy anew; a removal moves it and its mirror's chunk; a replace copies it once).
 */
export const lineTimes = { add: 2.9, convert: 2.9, replace: 1.2, remove: 3.9 } as const

/** @throws Fault 7 when what is stored does not fit afterwards */
export const planChange = async (
  context: Context,
  job: Job,
  profile: Edited,
  change: { readonly sizes: readonly number[]; readonly remotes: readonly RemoteHost[] },
): Promise<ChangePlan> => {
  const fsid = context.record?.fsid ?? ''
  const table = await readChunkTable(fsid)
  const fits = usableBytes(job.to, change.sizes)
  if (table.usedBytes > fits)
    throw new Fault(
      Exit.decide,
      `${bytes(table.usedBytes)} are stored, and ${job.to} on ${change.sizes.map((size) => bytes(size)).join(' + ')} has room for ${bytes(fits)}`,
      { stands: 'nothing was changed', next: 'delete something, or take a larger disk' },
    )
  const moved = toMove(context, job, table)
  const measured = change.remotes.length > 0 ? await uplink(change.remotes) : undefined
  const moveBytes = Math.round(moved * lineTimes[job.kind])
  // A limit counts what is moved, and not every way that it goes.
  const seconds = Math.max(moveBytes / (measured ?? Infinity), moved / (job.limit ?? Infinity))
  return {
    job,
    profile,
    moveBytes,
    sizes: change.sizes,
    usedBytes: table.usedBytes,
    ...(measured === undefined ? {} : { rate: measured }),
    ...(seconds > 0 || moved === 0 ? { etaMs: Math.round(seconds * 1000) } : {}),
  }
}

const toMove = ({ record }: Context, job: Job, table: Awaited<ReturnType<typeof readChunkTable>>): number => {
  const members = Object.keys(record?.members ?? {}).length
  const converted = unconverted(
    table,
    job.to,
    members + (job.kind === 'add' ? 1 : job.kind === 'remove' ? -1 : 0),
  )
  if (job.kind === 'add' || job.kind === 'convert') return converted
  // What lies on one member, when all hold about the same.
  return converted + table.diskBytes / Math.max(1, members)
}

/** Enough to see a line's speed, and little on a slow one. */
const sampleBytes = 3 * 1024 * 1024

/** Connections to the members that data is moved to; one that does not answer is left out. */
export const remotesOf = async (context: Context, without?: string): Promise<RemoteHost[]> => {
  const names = Object.keys(context.record?.members ?? {}).filter((name) => name !== without)
  await context.connectAll(names)
  return names.flatMap((name) => context.vault.remote(name) ?? [])
}

/** Bytes a second that servers take from here now, side by side; random ones, which nothing on the way can make smaller. */
export const uplink = async (remotes: readonly RemoteHost[]): Promise<number> => {
  const input = randomBytes(sampleBytes).toString('base64')
  const began = performance.now()
  await Promise.all(
    remotes.map(async (remote) => {
      const output = await remote.run({ argv: ['wc', '-c'], input, root: false, deadline: 120_000 })
      if (output.stdout.trim() !== `${input.length}`)
        throw new Fault(Exit.unreachable, 'the line to it could not be measured', { detail: output.stderr })
    }),
  )
  return Math.round((input.length * remotes.length) / ((performance.now() - began) / 1000))
}

/** Shows the plan, and asks unless consent was given. @throws Fault 2 without a terminal and without --yes, 130 for a no */
export const agree = async (
  world: World,
  context: Context,
  plan: ChangePlan,
  options: { readonly yes?: boolean; readonly json?: boolean },
): Promise<void> => {
  if (!options.json) for (const line of planLines(context, plan)) world.stderr.write(`${line}\n`)
  if (options.yes) return
  if (await confirm(world, { message: 'Go on?', flag: '--yes', initial: true })) return
  throw new Fault(Exit.interrupted, 'not agreed to', { stands: 'nothing was changed' })
}

/** --dry-run: the plan is the result. */
export const printChange = (world: World, context: Context, plan: ChangePlan, json: boolean): ExitCode => {
  const { job, moveBytes, rate, etaMs, usedBytes } = plan
  const { since: _, phase: __, ...change } = job
  const shown = { ...change, moveBytes, rate, etaMs, usedBytes, usableBytes: usableBytes(job.to, plan.sizes) }
  if (json)
    world.stdout.write(
      `${JSON.stringify({ schema: 'cloudvault.change/1', dryRun: true, vault: context.profile.vault, ...shown })}\n`,
    )
  else world.stdout.write(`${planLines(context, plan).join('\n')}\nnothing was changed (dry run)\n`)
  return Exit.ok
}

/** Sizes of the members as recorded, without one that goes. */
export const memberSizes = ({ record }: Context, without?: string): number[] =>
  Object.entries(record?.members ?? {}).flatMap(([name, { sizeBytes }]) =>
    name === without ? [] : [sizeBytes],
  )

/** A newcomer's size; of a device nobody knows it before it is attached, and it counts as large as the one given. */
export const sizeOf = ({ disk }: Member, otherwise: number): number =>
  disk.kind === 'file' ? disk.sizeBytes : otherwise

/** @throws Fault 2 when it is no size */
export const limitOf = (text: string | undefined): { readonly limit?: number } => {
  if (text === undefined) return {}
  const parsed = parseSize(text.replace(/\/s$/, ''))
  if ('value' in parsed && parsed.value > 0) return { limit: parsed.value }
  throw new Fault(
    Exit.usage,
    `--limit ${JSON.stringify(text)}: ${'fault' in parsed ? parsed.fault : 'is nothing'}`,
    {
      stands: 'nothing was changed',
      next: 'the same command with --limit 5MiB   (a second)',
    },
  )
}

/** The plan as people read it. */
export const planLines = (context: Context, plan: ChangePlan): string[] => {
  const { job, moveBytes, rate, etaMs, sizes, usedBytes } = plan
  const { vault, filesystem } = context.profile
  return [
    `${vault}: ${jobTitle(job)}`,
    ...diffLines(plan.profile).map((line) => `  profile     ${escapeLine(line)}`),
    `  moves       ${bytes(moveBytes)} in all${rate === undefined ? '' : `, at ${bytes(rate)}/s (measured just now)`}`,
    ...(job.limit === undefined
      ? []
      : [`  limit       ${bytes(job.limit)}/s; cloudvault resume ${vault} --limit …   changes it`]),
    ...(etaMs === undefined
      ? []
      : [`  takes       about ${duration(etaMs)}, in the background; the vault stays in use`]),
    `  afterwards  ${job.to}: ${bytes(usableBytes(job.to, sizes))} usable, ${bytes(usedBytes)} used`,
    `  meanwhile   ${risk(job, filesystem.redundancy)}`,
  ]
}

const risk = (job: Job, now: Job['from']): string => {
  const spare = Math.min(spareCopies[job.from], spareCopies[job.to])
  const what = spare === 0 ? 'no member may be lost' : `${spare} of the members may be lost`
  return `${what} until it is done${job.from === now ? ', as now' : ''}; a kill, a reboot or an outage only delays it`
}

/** The lines that differ, "+" and "-" first: an edit of a profile only adds lines, changes one, or takes a block away. */
export const diffLines = ({ before, after }: Edited): string[] => {
  const [old, now] = [before.split('\n'), after.split('\n')]
  let start = 0
  while (start < Math.min(old.length, now.length) && old[start] === now[start]) start++
  let end = 0
  while (end < Math.min(old.length, now.length) - start && old.at(-1 - end) === now.at(-1 - end)) end++
  const gone = old.slice(start, old.length - end)
  const come = now.slice(start, now.length - end)
  const shown = (lines: readonly string[], others: readonly string[], sign: string): string[] =>
    lines.filter((line) => line.trim() !== '' && !others.includes(line)).map((line) => `${sign} ${line}`)
  return [...shown(gone, come, '-'), ...shown(come, gone, '+')]
}
