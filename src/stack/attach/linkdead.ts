/** The outage alarm: the kernel announces on a multicast group when a device lost its connection. */
import { Exit, Fault } from '../../fault.ts'
import { nbdFamily, openGeneric } from './genl.ts'
import { type Libc, POLLIN, SystemError } from './libc.ts'
import {
  decodeAnswers,
  NbdAttribute,
  NbdCommand,
  NETLINK_ADD_MEMBERSHIP,
  readU32,
  SOL_NETLINK,
} from './netlink.ts'

import { encodeNetlink } from './sockaddr.ts'

/** One wait on a worker thread; the signal is looked at in between. */
const waitMs = 500

export interface Listener {
  /** Ends when the signal aborts; rejects only when the kernel closes the group. */
  readonly done: Promise<void>
}

/**
 * Calls back with the index of every device whose link dies, until the signal aborts. Listening when it resolves.
 * An alarm may be lost when very many come at once (the callback then gets -1: look at every device), so it speeds up a
 * monitor and does not replace its looking.
 * @throws Fault exit 3 when the module is not loaded.
 */
export async function onLinkDead(callback: (index: number) => void, signal: AbortSignal): Promise<Listener> {
  const family = await nbdFamily()
  const group = family.groups.get('nbd_mc_group')
  if (group === undefined) throw new Fault(Exit.missing, 'this kernel announces no dead NBD links')
  const { sys, fd } = await openGeneric()
  try {
    // Without an address of its own a socket counts as the kernel itself, and gets no announcements.
    sys.bind(fd, encodeNetlink())
    const id = Buffer.alloc(4)
    id.writeUInt32LE(group)
    sys.setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, id)
  } catch (error) {
    sys.close(fd)
    throw error
  }
  const done = listen(sys, fd, family.id, callback, signal).finally(() => sys.close(fd))
  return { done }
}

async function listen(
  sys: Libc,
  fd: number,
  family: number,
  callback: (index: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const buffer = Buffer.alloc(65_536)
  while (!signal.aborted) {
    const got = receive(sys, fd, buffer)
    if (got === 'overrun') callback(-1)
    else if (got === null || got === 0) await sys.poll(fd, POLLIN, waitMs)
    else for (const index of deadLinks(Buffer.from(buffer.subarray(0, got)), family)) callback(index)
  }
}

function receive(sys: Libc, fd: number, buffer: Buffer): number | null | 'overrun' {
  try {
    return sys.recv(fd, buffer)
  } catch (error) {
    if (error instanceof SystemError && error.code === 'ENOBUFS') return 'overrun'
    throw error
  }
}

/** The indices named by the alarms in one datagram. */
export function deadLinks(datagram: Buffer, family: number): number[] {
  return decodeAnswers(datagram).flatMap((answer) => {
    if (answer.kind !== 'message' || answer.family !== family) return []
    if (answer.command !== NbdCommand.linkDead) return []
    return readU32(answer.attributes, NbdAttribute.index) ?? []
  })
}
