/** One question to the kernel over generic netlink, and its answer. */
import { Exit, Fault } from '../../fault.ts'
import {
  AF_NETLINK,
  type Libc,
  libc,
  POLLIN,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SystemError,
} from './libc.ts'
import {
  type Answer,
  type Attribute,
  CTRL_ATTR_FAMILY_NAME,
  CTRL_CMD_GETFAMILY,
  decodeAnswers,
  decodeFamily,
  encodeRequest,
  type Family,
  GENL_ID_CTRL,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GENERIC,
  SOL_NETLINK,
  text,
} from './netlink.ts'

/** The kernel refused. `errno` is positive; `why` its own sentence, when it has one. */
export class KernelRefusal extends SystemError {
  readonly why: string | undefined

  constructor(errno: number, why: string | undefined) {
    super('netlink', errno)
    this.why = why
  }
}

/** The kernel works off a request inside the send; disconnecting may wait for its workers, never this long. */
const answerDeadlineMs = 30_000

/** A generic netlink socket. Blocking sends happen on a worker thread, receives never block. */
export async function openGeneric(): Promise<{ sys: Libc; fd: number }> {
  const sys = await libc()
  const fd = sys.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_GENERIC)
  return { sys, fd }
}

/**
 * Sends one request and returns the messages that came before its acknowledgement.
 * @throws KernelRefusal with the kernel's errno; Fault exit 4 when the kernel does not answer.
 */
export async function ask(
  family: number,
  command: number,
  attributes: readonly Attribute[],
): Promise<readonly (Answer & { kind: 'message' })[]> {
  const { sys, fd } = await openGeneric()
  let closeLater = false
  try {
    const one = Buffer.from([1, 0, 0, 0])
    sys.setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, one)
    sys.setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, one)
    const sending = sys.sendWaiting(fd, encodeRequest({ family, command, sequence: 1, attributes }))
    if (!(await within(sending, answerDeadlineMs))) {
      closeLater = true
      sending.finally(() => sys.close(fd)).catch(() => {})
      throw silentKernel()
    }
    return await collect(sys, fd)
  } finally {
    if (!closeLater) sys.close(fd)
  }
}

async function collect(sys: Libc, fd: number): Promise<readonly (Answer & { kind: 'message' })[]> {
  const messages: (Answer & { kind: 'message' })[] = []
  const end = performance.now() + 5_000
  const buffer = Buffer.alloc(65_536)
  while (performance.now() < end) {
    const got = sys.recv(fd, buffer)
    if (got === null || got === 0) {
      await sys.poll(fd, POLLIN, 200)
      continue
    }
    // A copy: the messages outlive the buffer.
    for (const answer of decodeAnswers(Buffer.from(buffer.subarray(0, got)))) {
      if (answer.sequence !== 1) continue
      if (answer.kind === 'message') messages.push(answer)
      else if (answer.errno === 0) return messages
      else throw new KernelRefusal(answer.errno, answer.why)
    }
  }
  throw silentKernel()
}

async function within(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms)
  })
  try {
    return await Promise.race([work.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}

function silentKernel(): Fault {
  return new Fault(Exit.unreachable, 'the kernel does not answer a netlink request', {
    next: 'look into the kernel log: dmesg | tail',
  })
}

/**
 * The family `nbd` of the running kernel.
 * @throws Fault exit 3 when the module is not loaded.
 */
export async function nbdFamily(): Promise<Family> {
  let messages: Awaited<ReturnType<typeof ask>>
  try {
    messages = await ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, [text(CTRL_ATTR_FAMILY_NAME, 'nbd')])
  } catch (error) {
    if (error instanceof SystemError && ['ENOENT', 'EPROTONOSUPPORT'].includes(error.code))
      throw notLoaded(error)
    throw error
  }
  const family = messages[0] === undefined ? null : decodeFamily(messages[0].attributes)
  if (family === null) throw notLoaded()
  return family
}

function notLoaded(cause?: unknown): Fault {
  return new Fault(Exit.missing, 'the kernel module nbd is not loaded', {
    stands: 'nothing was attached',
    next: 'modprobe nbd max_part=0',
    ...(cause === undefined ? {} : { cause }),
  })
}
