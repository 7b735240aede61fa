import { type Command, Option } from 'commander'
import { Exit, type ExitCode } from '../../fault.ts'
import type { World } from '../world.ts'

/**
 * What every verb is made of: how its body is loaded and run, the flags that mean the same everywhere, its example.
 */

/** What the last verb answered. */
export const outcome: { exit: ExitCode } = { exit: Exit.ok }

type Body<A extends unknown[]> = (world: World, ...args: A) => Promise<ExitCode>

/** Loads the world and the verb's body, runs it, prints what it throws. */
export const runs =
  <A extends unknown[]>(load: () => Promise<Body<A>>) =>
  async (...args: A): Promise<void> => {
    const { realWorld } = await import('../real-world.ts')
    const world = realWorld()
    const body = await load()
    try {
      outcome.exit = await body(world, ...args)
    } catch (error) {
      const { report } = await import('../../ui/report.ts')
      const options = args.find(
        (arg): arg is A[number] & { json?: boolean } =>
          typeof arg === 'object' && arg !== null && 'json' in arg,
      )
      outcome.exit = report(world, error, { json: options?.json === true })
    }
  }

export const json = (): Option => new Option('--json', 'one JSON object on stdout, nothing else')
export const dryRun = (): Option => new Option('-n, --dry-run', 'print the very commands, change nothing')
export const confirm = (): Option =>
  new Option('--confirm <name>', 'the name of the vault, typed: consent without a terminal')

/** Adds one to the program; returned for its flags. */
export type Verb = (signature: string, summary: string, examples: readonly string[]) => Command

export const verbsOf =
  (program: Command): Verb =>
  (signature, summary, examples) =>
    program
      .command(signature)
      .description(summary)
      .addHelpText('after', `\nExample:\n${examples.map((line) => `  ${line}`).join('\n')}`)

/** Gathers a repeatable option. */
export const collect = (value: string, before: string[]): string[] => [...before, value]
