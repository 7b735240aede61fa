import { Exit, Fault } from '../fault.ts'
import type { Output } from '../host/host.ts'
import { shellLine } from '../host/quote.ts'
import { Secret } from '../host/secret.ts'
import type { Action } from './step.ts'

/** The line that --dry-run prints and -v shows: what is executed is printed from the same value. */
export const describe = (action: Action): string => {
  if ('call' in action) return `${action.on.name}: ${action.text}`
  const { argv, input } = action.command
  const fed =
    action.feed || input instanceof Secret ? '   < [secret]' : input === undefined ? '' : '   < [text]'
  return `${action.on.name}: ${shellLine(argv)}${fed}`
}

/** How one action is carried out. */
export type Perform = (action: Action) => Promise<void>

/** Runs one action to its end. @throws Fault when the command's exit code is not among the good ones. */
export const perform: Perform = async (action) => {
  if ('call' in action) {
    await action.call()
    return
  }
  const output = await action.on.run(
    action.feed ? { ...action.command, input: await action.feed() } : action.command,
  )
  if (output.code !== null && (action.ok ?? [0]).includes(output.code)) return
  throw action.explain?.(output) ?? commandFailed(action.on.name, action.command.argv, output)
}

/** What is said of a failed command that has no better words of its own. */
export const commandFailed = (where: string, argv: readonly string[], output: Output): Fault => {
  const how = output.code === null ? 'was cut off' : `failed (exit ${output.code})`
  return new Fault(
    where === 'here' ? Exit.missing : Exit.unreachable,
    `${argv[0]} ${how} on ${where === 'here' ? 'this machine' : where}`,
    {
      ...(where === 'here' ? {} : { member: where }),
      detail: `$ ${shellLine(argv)}\n${output.stderr || output.stdout}`,
    },
  )
}
