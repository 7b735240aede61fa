import { handshake, type Offer } from '../../../../../src/stack/attach/handshake.ts'

export interface Talk {
  readonly offer?: Offer
  readonly sent: Buffer
  readonly largestRead: number
  readonly moves: number
  /** The server's bytes ended before the conversation did. */
  readonly starved: boolean
}

/** Plays the conversation against a server that says exactly these bytes. Throws what the handshake throws. */
export function talk(said: Buffer, exportName = 'disk'): Talk {
  const conversation = handshake(exportName)
  const sent: Buffer[] = []
  let at = 0
  let largestRead = 0
  let moves = 0
  let move = conversation.next(Buffer.alloc(0))
  while (!move.done) {
    moves++
    if ('send' in move.value) {
      sent.push(move.value.send)
      move = conversation.next(Buffer.alloc(0))
      continue
    }
    const wanted = move.value.read
    largestRead = Math.max(largestRead, wanted)
    if (at + wanted > said.length) return { sent: Buffer.concat(sent), largestRead, moves, starved: true }
    move = conversation.next(said.subarray(at, at + wanted))
    at += wanted
  }
  return { offer: move.value, sent: Buffer.concat(sent), largestRead, moves, starved: false }
}
