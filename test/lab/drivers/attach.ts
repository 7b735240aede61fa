/**
 * The attach layer as a program, for a guest without a build: one verb per run, one JSON line on stdout.
 * Verbs: connect, reconfigure, reconfigure-unchecked, disconnect, state, status, find, free, listen, dial. A Fault is printed as { fault, exit }.
 */
import { Fault } from '../../../src/fault.ts'
import { dial } from '../../../src/stack/attach/dial.ts'
import { ask, KernelRefusal, nbdFamily } from '../../../src/stack/attach/genl.ts'
import { onLinkDead } from '../../../src/stack/attach/linkdead.ts'
import {
  connectDevice,
  deviceStatus,
  disconnectDevice,
  reconfigureDevice,
} from '../../../src/stack/attach/nbd.ts'
import { NbdAttribute, NbdCommand, sockets, text, u32 } from '../../../src/stack/attach/netlink.ts'
import { checkOffer } from '../../../src/stack/attach/offer.ts'
import type { Target } from '../../../src/stack/attach/socket.ts'
import { deviceState, findByBackend, freeIndex } from '../../../src/stack/attach/sysfs.ts'

const dialDeadlineMs = 20_000

function target(word: string): Target {
  const tcp = /^tcp:(.*):(\d+)$/.exec(word)
  return tcp ? { kind: 'tcp', host: tcp[1] ?? '', port: Number(tcp[2]) } : { kind: 'unix', path: word }
}

async function attach(
  verb: 'connect' | 'reconfigure',
  index: number,
  where: string,
  name: string,
  backend: string,
) {
  const dialled = await dial(target(where), name, dialDeadlineMs)
  try {
    const differs = checkOffer(dialled.offer)
    if (differs !== null) return { differs }
    const common = { index, fd: dialled.fd, backend, timeoutSeconds: 10, deadConnTimeoutSeconds: 60 }
    if (verb === 'connect') await connectDevice({ ...common, offer: dialled.offer })
    else await reconfigureDevice(common)
    return { done: verb }
  } finally {
    dialled.close()
  }
}

/** Past our own look at the identifier: what does the kernel say to a wrong one? */
async function reconfigureUnchecked(index: number, where: string, name: string, backend: string) {
  const dialled = await dial(target(where), name, dialDeadlineMs)
  try {
    await ask((await nbdFamily()).id, NbdCommand.reconfigure, [
      u32(NbdAttribute.index, index),
      text(NbdAttribute.backendIdentifier, backend),
      sockets([dialled.fd]),
    ])
    return { done: 'reconfigure' }
  } catch (error) {
    if (error instanceof KernelRefusal) return { refused: error.code }
    throw error
  } finally {
    dialled.close()
  }
}

async function listen(seconds: number) {
  const stop = new AbortController()
  const heard: number[] = []
  const listener = await onLinkDead((index) => {
    heard.push(index)
    stop.abort()
  }, stop.signal)
  process.stderr.write('listening\n')
  const timer = setTimeout(() => stop.abort(), seconds * 1000)
  await listener.done
  clearTimeout(timer)
  return { heard }
}

async function run([verb = '', ...words]: string[]): Promise<unknown> {
  const [first = '', second = '', third = '', fourth = ''] = words
  switch (verb) {
    case 'connect':
    case 'reconfigure':
      return attach(verb, Number(first), second, third, fourth)
    case 'reconfigure-unchecked':
      return reconfigureUnchecked(Number(first), second, third, fourth)
    case 'disconnect':
      await disconnectDevice(Number(first))
      return { done: verb }
    case 'state':
      return deviceState(Number(first))
    case 'status':
      return { connected: await deviceStatus(Number(first)) }
    case 'find':
      return { index: await findByBackend(first) }
    case 'free':
      return { index: await freeIndex(words.map(Number)) }
    case 'listen':
      return listen(Number(first))
    case 'dial': {
      const { offer, close } = await dial(target(first), second, dialDeadlineMs)
      close()
      return { ...offer, differs: checkOffer(offer) }
    }
    default:
      throw new Error(`no such verb: ${verb}`)
  }
}

const bigints = (_: string, value: unknown) => (typeof value === 'bigint' ? Number(value) : value)
try {
  console.log(JSON.stringify(await run(process.argv.slice(2)), bigints))
} catch (error) {
  if (!(error instanceof Fault)) throw error
  console.log(JSON.stringify({ fault: error.message, exit: error.exit, ...error.details }, bigints))
}
