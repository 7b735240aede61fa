import { commandFailed, perform } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import { farSide } from '../names.ts'
import { putFile, run } from './files.ts'

/**
 * The opaque copy of the recovery kit on a server: put, fetched, and the older ones taken away. It lies with what
 * provision made there, so `unprovision` takes it away as well.
 */

/** Some MiB over a slow line. */
const deadline = 600_000
/** One command may answer 4 MiB. */
const pieceBytes = 3 * 1024 * 1024
const mostPieces = 128

/** Called by its digest: an older one stays whole until the new one is on every server. */
export const escrowPath = (vault: string, member: string, sha256: string): string =>
  `${farSide(vault, member).etc}/escrow-${sha256.slice(0, 16)}`

export const putEscrow = async (host: Host, path: string, text: string): Promise<void> => {
  const { on, command } = putFile(host, path, text, '0600')
  await perform({ on, command: { ...command, deadline } })
}

/** Takes away every copy beside this one. */
export const dropOlderEscrows = (host: Host, path: string): Promise<void> => {
  const [folder, name] = [path.replace(/\/[^/]*$/, ''), path.replace(/^.*\//, '')]
  const older = ['find', folder, '-maxdepth', '1', '-name', 'escrow-*', '!', '-name', name, '-delete']
  return perform(run(host, ...older))
}

const pieceScript = '[ -f "$1" ] || exit 44; tail -c "+$2" -- "$1" | head -c "$3"'

/** @throws Fault 5 when it is not there or endless, 4 when the server cannot be asked */
export const fetchEscrow = async (host: Host, path: string): Promise<string> => {
  const pieces: string[] = []
  for (let at = 1; pieces.length < mostPieces; at += pieceBytes) {
    const argv = ['sh', '-c', pieceScript, 'read', path, `${at}`, `${pieceBytes}`]
    const output = await host.run({ argv, deadline })
    if (output.code === 44) throw refusedCopy(host.name, 'there is no copy of the kit')
    if (output.code !== 0) throw commandFailed(host.name, argv, output)
    pieces.push(output.stdout)
    if (output.stdout.length < pieceBytes) return pieces.join('')
  }
  throw refusedCopy(host.name, 'the copy of the kit has no end')
}

export const refusedCopy = (member: string, what: string): Fault =>
  new Fault(Exit.trust, what, {
    member,
    stands: 'nothing was changed',
    next: 'the recovery kit itself, from where you keep it: cloudvault restore-kit FILE',
  })
