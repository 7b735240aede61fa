import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Fault } from '../../src/fault.ts'
import { report } from '../../src/ui/report.ts'
import { memoryStream } from '../unit/support/world.ts'

/**
 * Property tests: many made-up inputs for one reader. Whatever comes in, the answer is a value or a Fault, it comes at
 * once, and nothing of it reaches a terminal raw. A failure prints the seed and the smallest input that shows it.
 */

declare module 'vitest' {
  interface TaskMeta {
    /** How many inputs were tried. */
    inputs?: number
  }
}

/** The same inputs on every push, so that nobody's push fails for somebody else's fault; `npm run fuzz` draws new ones. */
const seed = Number(process.env.CLOUDVAULT_FUZZ_SEED ?? 20_261_122)
/** Multiplies every number of runs. */
const more = Number(process.env.CLOUDVAULT_FUZZ_TIMES ?? 1)
/** Processor time for one input: what takes longer would be a way to keep a client busy. */
const worstMs = 1500

/**
 * @param runs how many inputs; readers that need a file or a promise get fewer
 * @param property throws when it does not hold; a Fault is an answer like any other
 */
export const fuzz = <T>(
  name: string,
  input: fc.Arbitrary<T>,
  property: (value: T) => unknown,
  runs = 1000,
): void => {
  test(`${name}`, async ({ task }) => {
    let inputs = 0
    const holds = fc.asyncProperty(input, async (value) => {
      inputs++
      await answered(() => property(value))
    })
    await fc.assert(holds, {
      seed,
      numRuns: Math.ceil(runs * more),
      // On a busy machine fewer are tried, and the count says so.
      interruptAfterTimeLimit: 240_000,
    })
    task.meta.inputs = inputs
  })
}

const answered = async (work: () => unknown): Promise<void> => {
  const before = process.cpuUsage()
  try {
    await work()
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    expectPrintable(printed(error))
    expectPrintable(printed(error, true))
  }
  const { user, system } = process.cpuUsage(before)
  expect((user + system) / 1000).toBeLessThan(worstMs)
}

/** An error as a person, or with `json` a program, would see it. */
export const printed = (error: unknown, json = false): string => {
  const world = { stdout: memoryStream(), stderr: memoryStream(), env: { LANG: 'C.UTF-8' } }
  report(world, error, { json })
  return world.stdout.text + world.stderr.text
}

/** Line feeds and tabs are ours; everything else that a terminal may act on must have been spelled out. */
export const expectPrintable = (text: string): void => {
  expect(/[^\P{C}\n\t]|[\u2028\u2029]/u.exec(text)).toBeNull()
}
