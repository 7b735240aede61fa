/**
 * Giving connected sockets to the kernel's NBD client, and taking them away: generic netlink family `nbd`.
 * A device carries an identifier; whoever replaces its socket must name the same one, so nobody else's device is taken by mistake.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, Fault } from '../../fault.ts'
import { ask, KernelRefusal, nbdFamily } from './genl.ts'
import type { Offer } from './handshake.ts'
import { libc, SO_SNDTIMEO, SOL_SOCKET } from './libc.ts'
import {
  type Attribute,
  decodeStatus,
  type Family,
  NbdAttribute,
  NbdCommand,
  sockets,
  text,
  u32,
  u64,
} from './netlink.ts'
import { deviceState } from './sysfs.ts'

/** How long a disconnected device may stay open: udev reads it for some milliseconds after every change. */
const releaseMs = 10_000

export interface ConnectOptions {
  readonly index: number
  /** A socket after the handshake (dial). Still the caller's to close, on success too: the kernel has its own reference. */
  readonly fd: number
  readonly offer: Offer
  /** Identifier of the device: `cv-<vault>-<member>`. */
  readonly backend: string
  /** Seconds until an unanswered request counts as a dead link; above 10 it can fire twice in a row. Never 0: a reader would hang for ever. */
  readonly timeoutSeconds: number
  /** Seconds that I/O waits for a new socket before it fails. */
  readonly deadConnTimeoutSeconds: number
  readonly blockSizeBytes?: number
}

/**
 * Makes /dev/nbd<index> a disk.
 * @throws Fault exit 6 when the index is in use, 3 when something is missing here, 5 when the kernel shows something else than was offered.
 */
export async function connectDevice(options: ConnectOptions): Promise<void> {
  const { index, fd, offer, backend, timeoutSeconds, deadConnTimeoutSeconds } = options
  const family = await familyWithIdentifier()
  await request(family, NbdCommand.connect, index, [
    u32(NbdAttribute.index, index),
    u64(NbdAttribute.sizeBytes, offer.sizeBytes),
    u64(NbdAttribute.blockSizeBytes, options.blockSizeBytes ?? 4096),
    u64(NbdAttribute.timeout, timeoutSeconds),
    u64(NbdAttribute.deadConnTimeout, deadConnTimeoutSeconds),
    u64(NbdAttribute.serverFlags, offer.flags),
    text(NbdAttribute.backendIdentifier, backend),
    sockets([fd]),
  ])
  const difference = await differs(options)
  if (difference === null) return
  await disconnectDevice(index)
  throw new Fault(Exit.trust, `/dev/nbd${index} is not what was asked for: ${difference}`, {
    stands: 'the device was disconnected again',
  })
}

async function differs({ index, backend, offer }: ConnectOptions): Promise<string | null> {
  const state = await deviceState(index)
  if (!state.connected) return 'it is not connected'
  if (state.backend !== backend) return `its identifier is ${state.backend ?? 'missing'}`
  if (state.sizeBytes !== offer.sizeBytes)
    return `its size is ${state.sizeBytes} bytes, not ${offer.sizeBytes}`
  if (state.readOnly !== offer.readOnly) return state.readOnly ? 'it is read-only' : 'it is writable'
  const cache = offer.canFlush ? 'write back' : 'write through'
  if (state.writeCache !== cache) return `its write cache is "${state.writeCache}", not "${cache}"`
  return null
}

export interface ReconfigureOptions {
  readonly index: number
  readonly fd: number
  readonly backend: string
  /** Seconds; absent leaves what the device has. */
  readonly timeoutSeconds?: number
  readonly deadConnTimeoutSeconds?: number
}

/**
 * Gives a device whose connection died a new socket; waiting I/O is sent again over it.
 * The kernel takes a socket only in the place of a dead one and says nothing when there is none.
 * @throws Fault exit 6 when the old connection still counts as alive (the new socket was not taken), 5 when the identifier is not ours, 7 when the device is beyond revival.
 */
export async function reconfigureDevice(options: ReconfigureOptions): Promise<void> {
  const { index, fd, backend, timeoutSeconds, deadConnTimeoutSeconds } = options
  const state = await deviceState(index)
  if (!state.connected) throw notConnected(index)
  if (state.backend !== backend) throw foreign(index, backend, state.backend)
  const family = await familyWithIdentifier()
  await request(family, NbdCommand.reconfigure, index, [
    u32(NbdAttribute.index, index),
    ...(timeoutSeconds === undefined ? [] : [u64(NbdAttribute.timeout, timeoutSeconds)]),
    ...(deadConnTimeoutSeconds === undefined
      ? []
      : [u64(NbdAttribute.deadConnTimeout, deadConnTimeoutSeconds)]),
    text(NbdAttribute.backendIdentifier, backend),
    sockets([fd]),
  ])
  if (await taken(fd)) return
  throw new Fault(Exit.busy, `the kernel still holds the old connection of /dev/nbd${index}`, {
    stands: 'the new connection was not taken',
    next: 'end the old connection at the server, or wait for the request timeout, then try again',
  })
}

/**
 * Tells the kernel the size of a device in use. Not together with a socket: newer kernels wait for what is under way
 * before they change the size, and that may be waiting for the socket.
 * @throws Fault exit 5 when the identifier is not ours, 7 when the device is not connected or has another size afterwards.
 */
export async function resizeDevice(index: number, backend: string, sizeBytes: number): Promise<void> {
  const before = await deviceState(index)
  if (!before.connected) throw notConnected(index)
  if (before.backend !== backend) throw foreign(index, backend, before.backend)
  await request(await familyWithIdentifier(), NbdCommand.reconfigure, index, [
    u32(NbdAttribute.index, index),
    u64(NbdAttribute.sizeBytes, sizeBytes),
    text(NbdAttribute.backendIdentifier, backend),
  ])
  const after = await deviceState(index)
  if (after.sizeBytes !== BigInt(sizeBytes))
    throw new Fault(Exit.decide, `/dev/nbd${index} has ${after.sizeBytes} bytes instead of ${sizeBytes}`)
}

/** Taking a socket, the kernel sets the device's timeout on it as send timeout; on a socket from dial() it was none. */
async function taken(fd: number): Promise<boolean> {
  const timeout = (await libc()).getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, 16)
  return timeout.some((byte) => byte !== 0)
}

/**
 * Ends a device, and returns when its index is free again. Never for one that something stands on: it would answer success and could not be revived.
 * A device that is not connected is left alone: twice is once.
 * @throws Fault exit 6 when something stands on the device, or has it open for longer than 10 s.
 */
export async function disconnectDevice(index: number): Promise<void> {
  const state = await deviceState(index)
  if (!state.connected) return
  if (state.holders.length > 0)
    throw new Fault(Exit.busy, `/dev/nbd${index} is in use by ${state.holders.join(', ')}`, {
      stands: 'it is still attached',
    })
  const family = await nbdFamily()
  await request(family, NbdCommand.disconnect, index, [u32(NbdAttribute.index, index)])
  await gone(index)
}

/** The configuration stays as long as anybody has the device open: udev for a moment, a mount for ever. */
async function gone(index: number): Promise<void> {
  const end = performance.now() + releaseMs
  while ((await deviceState(index)).connected) {
    if (performance.now() > end)
      throw new Fault(Exit.busy, `/dev/nbd${index} was disconnected, but something still has it open`, {
        stands: 'its index stays taken until that closes it; no new connection can revive it',
        next: `fuser -v /dev/nbd${index}`,
      })
    await sleep(50)
  }
}

/** Whether the kernel has a configuration for the device; null when it does not know the index. */
export async function deviceStatus(index: number): Promise<boolean | null> {
  const family = await nbdFamily()
  const answers = await request(family, NbdCommand.status, index, [u32(NbdAttribute.index, index)])
  const status = answers.flatMap(({ attributes }) => decodeStatus(attributes))
  return status.find((device) => device.index === index)?.connected ?? null
}

async function familyWithIdentifier(): Promise<Family> {
  const family = await nbdFamily()
  if (family.highestAttribute >= NbdAttribute.backendIdentifier) return family
  throw new Fault(
    Exit.missing,
    'this kernel is older than Linux 5.14: its NBD devices cannot carry an identifier',
    {
      stands: 'nothing was attached',
      next: 'boot a newer kernel',
    },
  )
}

async function request(
  family: Family,
  command: number,
  index: number,
  attributes: readonly Attribute[],
): ReturnType<typeof ask> {
  try {
    return await ask(family.id, command, attributes)
  } catch (error) {
    if (error instanceof KernelRefusal) throw explain(error, command, index)
    throw error
  }
}

/** The kernel's errno in the words of what was asked. */
function explain(error: KernelRefusal, command: number, index: number): Fault {
  const device = `/dev/nbd${index}`
  const details = { cause: error, ...(error.why === undefined ? {} : { detail: error.why }) }
  switch (error.code) {
    case 'EPERM':
      return new Fault(Exit.missing, 'attaching devices needs root (CAP_SYS_ADMIN)', {
        ...details,
        next: 'sudo',
      })
    case 'EBUSY':
      return new Fault(Exit.busy, `${device} is already in use`, details)
    case 'ENOENT':
    case 'ENODEV':
      return new Fault(Exit.missing, `${device} does not exist`, details)
    case 'EINVAL':
      if (command === NbdCommand.reconfigure)
        return new Fault(
          Exit.decide,
          `${device} cannot be revived: it is being disconnected or is not ours`,
          details,
        )
  }
  return new Fault(Exit.missing, `the kernel refuses ${device}: ${error.code}`, details)
}

function notConnected(index: number): Fault {
  return new Fault(Exit.decide, `/dev/nbd${index} is not connected, there is nothing to revive`)
}

function foreign(index: number, ours: string, theirs: string | null): Fault {
  const found = theirs === null ? 'carries no identifier' : `belongs to "${theirs}"`
  return new Fault(Exit.trust, `/dev/nbd${index} ${found}, not to "${ours}"`, {
    stands: 'it was not touched',
  })
}
