import type { ExitCode } from '../fault.ts'
import { updateRecord } from '../record/record.ts'
import { carryOn } from './change/carry-on.ts'
import { limitOf } from './change/plan.ts'
import { Context, requireRoot } from './context.ts'
import type { World } from './world.ts'

/** `cloudvault resume`: goes on with a change of members where it was cut off, or shows how far it is. */

export interface ResumeOptions {
  readonly json?: boolean
  /** From now on so many bytes a second; "off": as fast as the line is. */
  readonly limit?: string
}

export const resumeVerb = async (world: World, name: string, options: ResumeOptions): Promise<ExitCode> => {
  requireRoot(world, 'resume', name)
  if (options.limit !== undefined) await changeLimit(world, name, options.limit)
  return carryOn(world, name, options.json === true)
}

/** Whoever moves data looks before every chunk. */
const changeLimit = async (world: World, name: string, limit: string): Promise<void> => {
  const wanted = limit === 'off' ? {} : limitOf(limit)
  const context = await Context.open(world, name, { change: false })
  try {
    await updateRecord(context.paths.record, (record) => {
      if (!record.job) return record
      const { limit: _, ...job } = record.job
      return { ...record, job: { ...job, ...wanted } }
    })
  } finally {
    await context.close()
  }
}
