import { commandFailed } from '../engine/action.ts'
import type { RunAction } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host, Input } from '../host/host.ts'

/** Small text files on a server: read, written whole (beside, then renamed), removed. All owned by root. */

/** The text, or null when there is no such file. @throws Fault when it cannot be told */
export const readRemote = async (host: Host, path: string): Promise<string | null> => {
  const argv = ['sh', '-c', 'if [ -e "$1" ]; then cat -- "$1"; else exit 44; fi', 'read', path]
  const output = await host.run({ argv })
  if (output.code === 44) return null
  if (output.code === 0) return output.stdout
  throw commandFailed(host.name, ['cat', path], output)
}

/**
 * The length is counted: a connection that is cut looks like the end of the text, and half of it must not be renamed.
 * A link that somebody put in the place of either file is replaced, never written through (-C: only a new file; -T).
 */
const putScript = [
  'mkdir -p -m 0755 -- "$(dirname "$1")" && umask 077 && rm -f -- "$1.new" && set -C && cat > "$1.new"',
  '[ "$(wc -c < "$1.new")" -eq "$3" ] && chmod "$2" "$1.new" && mv -fT -- "$1.new" "$1"',
].join(' && ')

/** Its directory is made when it is missing. @param mode octal text: "0644" */
export const putFile = (host: Host, path: string, content: Input, mode = '0644'): RunAction => {
  const length = typeof content === 'string' ? Buffer.byteLength(content) : content.reveal().length
  return {
    on: host,
    command: { argv: ['sh', '-c', putScript, 'put', path, mode, `${length}`], input: content },
  }
}

export const run = (host: Host, ...argv: string[]): RunAction => ({ on: host, command: { argv } })

/** Paths that may stand in a unit file, in nbd-server's configuration and in a shell line without surprises. */
const plainPath = /^(?:\/[A-Za-z0-9_@:+=.-]+)+$/

/** @throws Fault 2 when the path holds anything that one of the far side's file formats would read differently */
export const checkPath = (path: string, member: string): void => {
  const parts = path.split('/')
  if (plainPath.test(path) && !parts.includes('..') && !parts.includes('.')) return
  throw new Fault(Exit.usage, `${JSON.stringify(path)} cannot be used as a path on a server`, {
    member,
    next: 'use an absolute path of letters, digits and _ @ : + = . -',
  })
}
