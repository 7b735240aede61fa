import { writeFile } from 'node:fs/promises'
import type { Finding, Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import { memberId, parkUnit } from '../names.ts'
import type { Member } from '../profile/profile.ts'
import type { Sizes } from '../record/record.ts'
import { dial } from './attach/dial.ts'
import { connectDevice, disconnectDevice, reconfigureDevice } from './attach/nbd.ts'
import { checkOffer } from './attach/offer.ts'
import { deviceState } from './attach/sysfs.ts'
import type { Link } from './link/link.ts'
import { deadConnTimeout } from './patience.ts'
import type { Supervisor } from './supervise.ts'
import type { Vault } from './vault.ts'

/**
 * /dev/nbdN: the handshake is spoken and what the server offers is compared before the kernel gets the socket, on
 * every reconnect too. The device carries our identifier, so it is found again and nobody else's is taken.
 */

/** Above 10 s the kernel's request timeout can fire twice in a row (30 gave 54 s). */
const timeoutSeconds = 10
const handshakeMs = 20_000
/**
 * Requests under way at once. A server works on some 16 at a time: one that takes 2 s for each is through with 32 in
 * 4 s, but with the kernel's own 256 only long after each of them has been given up.
 */
const queueLength = 32
/**
 * Of one request. With the kernel's own 1280 KiB, 32 of them take 40 s over an uplink of 8 Mbit/s, and each would be given up
 * after 10: a line that is merely narrow was called lost while a mirror was added over it (drill 32).
 */
const requestKiB = 128
const blockSizeBytes = 4096
/** A provider that takes seconds for every request is slow, not silent; one that is silent is heard of in 10 to 20 s. */
const answerMs = 8000

export interface AttachOptions {
  /** What the record knows of the export's size; empty before create. */
  readonly sizes: Sizes
  readonly needs: readonly string[]
  readonly supervisor: Supervisor
}

export const attach = (vault: Vault, member: Member, link: Link, options: AttachOptions): Step => {
  const index = vault.nbdIndex(member.name)
  const backend = memberId(vault.profile.vault, member.name)
  const settings =
    `index=${index} backend=${backend} block_size=${blockSizeBytes} timeout=${timeoutSeconds}` +
    ` dead_conn_timeout=${deadConnTimeout(member)} queue=${queueLength}x${requestKiB}K export=${vault.nonce(member.name)}`
  return {
    name: `attach ${member.name}`,
    needs: options.needs,
    probe: () => probeDevice(index, backend),
    refresh: [
      {
        on: vault.local,
        text: `read from /dev/nbd${index}; no answer: fence the session, netlink nbd RECONFIGURE ${settings}`,
        call: () => revive(vault, member, link, options),
      },
    ],
    up: [
      {
        on: vault.local,
        text: `netlink nbd CONNECT ${settings} size=${options.sizes.join(' or ') || 'as offered'}`,
        call: () => connect(vault, member, link, options.sizes),
      },
    ],
    down: [
      { on: vault.local, text: `netlink nbd DISCONNECT index=${index}`, call: () => disconnectDevice(index) },
      ...options.supervisor.kill(parkUnit(vault.profile.vault, member.name)),
    ],
  }
}

const probeDevice = async (index: number, backend: string): Promise<Finding> => {
  const state = await deviceState(index)
  if (!state.connected) return { is: 'absent' }
  if (state.backend === backend) return { is: 'present', note: `/dev/nbd${index}` }
  return { is: 'differs', found: `/dev/nbd${index} belongs to ${state.backend ?? 'somebody else'}` }
}

const connect = async (vault: Vault, member: Member, link: Link, sizes: Sizes): Promise<void> => {
  const connection = await dialChecked(vault, member, link, sizes)
  try {
    await connectDevice({
      index: vault.nbdIndex(member.name),
      fd: connection.fd,
      offer: connection.offer,
      backend: memberId(vault.profile.vault, member.name),
      timeoutSeconds,
      deadConnTimeoutSeconds: deadConnTimeout(member),
      blockSizeBytes,
    })
    await limitQueue(vault.nbdIndex(member.name))
  } finally {
    connection.close() // the kernel holds its own reference now
  }
}

/** Where the kernel refuses, nothing is wrong but that a very slow provider may be called silent. */
const limitQueue = async (index: number): Promise<void> => {
  const queue = `/sys/block/nbd${index}/queue`
  await writeFile(`${queue}/nr_requests`, `${queueLength}`).catch(() => {})
  await writeFile(`${queue}/max_sectors_kb`, `${requestKiB}`).catch(() => {})
}

/** A vault that is up already: a connection that died while nobody watched is replaced. */
const revive = async (vault: Vault, member: Member, link: Link, options: AttachOptions): Promise<void> => {
  const parked = await options.supervisor.probe(parkUnit(vault.profile.vault, member.name))
  if (parked.is === 'present' || (await answers(vault, member.name, options.sizes))) return
  await vault.fence(member.name)
  await reconnect(vault, member, link, options.sizes)
}

/** Whether a member serves a read now: of its first block when no size is known. */
export const answers = async (vault: Vault, member: string, sizes: Sizes): Promise<boolean> =>
  (await readLatency(vault.local, vault.nbdIndex(member), sizes, answerMs)) !== null

export interface ReconnectOptions {
  /** Milliseconds for the handshake; default 20,000. */
  readonly deadlineMs?: number
  /** Called when the server has answered, just before the kernel is given the connection. */
  readonly ready?: () => Promise<void>
}

/**
 * Hands the kernel a new connection when the old one is dead. Waiting I/O goes on where it stopped. The session's
 * nonce makes sure that it is the same export of the same boot: a rebooted server does not know the name. What is left
 * of the old connection on the server must have been fenced off before.
 * @returns false when the old connection is still alive: the kernel keeps it and nothing changes
 */
export const reconnect = async (
  vault: Vault,
  member: Member,
  link: Link,
  sizes: Sizes,
  options: ReconnectOptions = {},
): Promise<boolean> => {
  // Whatever the record allows: a device must not reach beyond its disk.
  const { sizeBytes } = await deviceState(vault.nbdIndex(member.name))
  const enough = sizes.filter((size) => BigInt(size) >= sizeBytes)
  const connection = await dialChecked(
    vault,
    member,
    link,
    enough.length > 0 ? enough : sizes,
    options.deadlineMs,
  )
  try {
    await options.ready?.()
    await reconfigureDevice({
      index: vault.nbdIndex(member.name),
      fd: connection.fd,
      backend: memberId(vault.profile.vault, member.name),
    })
    return true
  } catch (error) {
    if (error instanceof Fault && error.exit === Exit.busy) return false
    throw error
  } finally {
    connection.close()
  }
}

const dialChecked = async (
  vault: Vault,
  member: Member,
  link: Link,
  sizes: Sizes,
  deadlineMs = handshakeMs,
) => {
  const connection = await dial(await link.target(), vault.nonce(member.name), deadlineMs).catch(
    async (error: unknown) => {
      throw error instanceof Fault ? ((await link.explain?.(error)) ?? error) : error
    },
  )
  const why = checkOffer(connection.offer, { sizes })
  if (why === null) return connection
  connection.close()
  throw new Fault(Exit.trust, `the export of ${member.name} was refused: ${why}`, {
    member: member.name,
    stands: 'the kernel was not given this connection',
    next: `cloudvault provision ${vault.profile.vault} ${member.name} --dry-run   (shows what differs there)`,
  })
}

/**
 * How long one 4 KiB read at a random place takes, past every cache: the honest probe of a member (`nbd-client -c`
 * and `cryptsetup status` call dead devices active).
 * @param sizes that it may have: the place lies in the smallest one
 * @returns milliseconds, or null when there was no answer within the deadline
 */
export const readLatency = async (
  local: Host,
  index: number,
  sizes: Sizes,
  deadlineMs: number,
): Promise<number | null> => {
  const smallest = sizes.length > 0 ? Math.min(...sizes) : blockSizeBytes
  const block = Math.floor(Math.random() * Math.floor(smallest / blockSizeBytes))
  const argv = [
    'dd',
    `if=/dev/nbd${index}`,
    'of=/dev/null',
    `bs=${blockSizeBytes}`,
    'count=1',
    `skip=${block}`,
    'iflag=direct',
  ]
  try {
    const output = await local.run({ argv, deadline: deadlineMs })
    // dd says it itself: "4096 bytes (4.1 kB, 4.0 KiB) copied, 0.000412 s, 9.9 MB/s"
    const seconds = / copied, ([0-9.e-]+) s/.exec(output.stderr)?.[1]
    return output.code === 0 && seconds ? Number(seconds) * 1000 : null
  } catch (error) {
    if (error instanceof Fault && error.exit === Exit.unreachable) return null
    throw error
  }
}
