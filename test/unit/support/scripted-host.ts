import type { Command, Host, Output } from '../../../src/host/host.ts'
import { shellLine } from '../../../src/host/quote.ts'

type Answer = Partial<Output> | ((command: Command) => Partial<Output>)

export interface ScriptedHost extends Host {
  /** The lines it was given, in order. */
  readonly lines: string[]
  readonly commands: Command[]
}

/**
 * A server that answers from a table: the first entry whose pattern is found in the shell line counts. A line that
 * nothing matches is an error of the test, so that no command goes unnoticed.
 */
export const scriptedHost = (
  name: string,
  script: readonly (readonly [string | RegExp, Answer])[],
): ScriptedHost => {
  const commands: Command[] = []
  const lines: string[] = []
  return {
    name,
    commands,
    lines,
    run: async (command) => {
      const line = shellLine(command.argv)
      commands.push(command)
      lines.push(line)
      const entry = script.find(([pattern]) =>
        typeof pattern === 'string' ? line.includes(pattern) : pattern.test(line),
      )
      if (!entry) throw new Error(`the script of ${name} has no answer to: ${line}`)
      const answer = typeof entry[1] === 'function' ? entry[1](command) : entry[1]
      return { code: 0, stdout: '', stderr: '', ...answer }
    },
  }
}
