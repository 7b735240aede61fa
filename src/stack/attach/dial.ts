/** From a target and an export name to a connected socket whose offer is known: the handshake, driven over a real socket. */

import { Fault } from '../../fault.ts'
import { handshake, type Move, type Offer } from './handshake.ts'
import { type Connection, connect, deadlineIn, describeTarget, type Target } from './socket.ts'
import { trial } from './trial.ts'

/** A socket in the transmission phase, ready for the kernel. Close it always: the kernel keeps its own reference. */
export interface Dialled {
  readonly fd: number
  readonly offer: Offer
  close(): void
}

/**
 * Connects, shakes hands and reads a block. The whole conversation has one deadline, so a server that drips bytes gains nothing.
 * @param deadlineMs milliseconds from now.
 * @throws Fault exit 4 for connection errors and deadlines, 5 for protocol violations; Refusal when the server said no.
 */
export async function dial(target: Target, exportName: string, deadlineMs: number): Promise<Dialled> {
  const connection = await connect(target, deadlineIn(deadlineMs))
  try {
    const offer = await converse(connection, handshake(exportName))
    await converse(connection, trial())
    connection.prepareForKernel()
    return { fd: connection.fd, offer, close: () => connection.close() }
  } catch (error) {
    connection.close()
    if (!(error instanceof Fault)) throw error
    throw error.with({ detail: `while talking to ${describeTarget(target)}` })
  }
}

async function converse<T>(connection: Connection, talk: Generator<Move, T, Buffer>): Promise<T> {
  let move = talk.next(Buffer.alloc(0))
  while (!move.done) {
    const { value } = move
    if ('send' in value) await connection.write(value.send)
    const heard = 'read' in value ? await connection.read(value.read) : Buffer.alloc(0)
    move = talk.next(heard)
  }
  return move.value
}
