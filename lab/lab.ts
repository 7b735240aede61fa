/**
 * A trusted client and up to four untrusted servers on one machine, with real kernels, real sshd and real cables to
 * pull. `startLab` makes one, `stop` leaves nothing behind; what a crash leaves, the next start sweeps.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, realpathSync } from 'node:fs'
import { Bystander } from './bystander.ts'
import { LabClient } from './client.ts'
import { makeKeys } from './client-boot.ts'
import { LabError } from './exec.ts'
import { guard, release } from './guard.ts'
import { keepDiskGoing } from './heartbeat.ts'
import { type Images, images } from './image.ts'
import { kernelShim } from './kernel.ts'
import { net, repository, scratchDir, seats, serverNames } from './names.ts'
import { makeBridge, makeMachine, makeSeat } from './network.ts'
import { prepareMachine } from './prerequisites.ts'
import { LabServer } from './server.ts'
import { allStates, isOwned, type LabState, saveState, thisProcess } from './state.ts'
import { sweep, tearDown } from './teardown.ts'

export interface LabOptions {
  /** 1 to 4: fsn, gra, hel, waw. */
  readonly servers: number
  /** The client's init. light: sshd and udevd alone, boots fastest. Default light. */
  readonly init?: 'light' | 'systemd'
  /** A third host on the same network, to see what a stranger can reach. */
  readonly bystander?: boolean
  /** A second client, `lab.laptop`: the same person's other machine. */
  readonly laptop?: boolean
  /** Memory of the client. Default 768. */
  readonly memoryMiB?: number
  /** Outlives this process, until `takeDown(id)`. */
  readonly persistent?: boolean
  /** Gets one line for each thing that takes a while. */
  readonly log?: (line: string) => void
}

export class Lab {
  readonly id: string
  /** Scratch directory on this machine: disks, consoles, keys. */
  readonly dir: string
  /** The checkout the client runs cloudvault from, on this machine. */
  readonly repository: string
  readonly client: LabClient
  readonly servers: readonly LabServer[]
  readonly bystander: Bystander | undefined
  /** The second client, if there is one. */
  readonly laptop: LabClient | undefined
  /** Milliseconds from the images being there to client and servers answering; 0 for a lab that was found running. */
  readonly startedInMs: number

  constructor(state: LabState, startedInMs: number) {
    this.id = state.id
    this.dir = state.dir
    this.repository = state.repository
    this.client = new LabClient(state, seats.client)
    this.laptop = state.laptop ? new LabClient(state, seats.laptop) : undefined
    this.servers = state.servers.map((name) => new LabServer(state, name))
    this.bystander = state.bystander ? new Bystander(state) : undefined
    this.startedInMs = startedInMs
  }

  /** The server called `name`. */
  server(name: string): LabServer {
    const found = this.servers.find((server) => server.name === name)
    if (found === undefined)
      throw new LabError(`no server ${name}; there are ${this.servers.map((s) => s.name).join(', ')}`)
    return found
  }

  /**
   * Takes everything away. May be called again.
   * @throws LabError naming what would not go.
   */
  async stop(): Promise<void> {
    beating.get(this.id)?.()
    beating.delete(this.id)
    release(this.id)
    const left = tearDown(this.id)
    if (left.length > 0) throw new LabError(`lab ${this.id} left behind: ${left.join(', ')}`)
  }
}

/** Ends the heartbeat of a lab of this process. */
const beating = new Map<string, () => void>()

const describe = (options: LabOptions, { serverRoot, clientDisk }: Images, shim: string | null): LabState => {
  const id = randomBytes(3).toString('hex')
  return {
    id,
    dir: scratchDir(id),
    owner: thisProcess(),
    servers: serverNames.slice(0, options.servers),
    bystander: options.bystander === true,
    laptop: options.laptop === true,
    init: options.init ?? 'light',
    memoryMiB: options.memoryMiB ?? 768,
    clientDisk,
    serverRoot,
    repository: repository(),
    shim,
    node: realpathSync(process.execPath),
    startedAt: new Date().toISOString(),
    ready: false,
  }
}

const bringUp = async (state: LabState): Promise<Lab> => {
  mkdirSync(state.dir, { mode: 0o755 })
  await Promise.all([makeKeys(state), makeBridge(state.id)])
  const lab = new Lab(state, 0)
  const clients = [lab.client, lab.laptop].filter((client) => client !== undefined)
  for (const { name } of clients) await makeSeat(state.id, seats[name])
  const machines = [...clients.map((client) => client.boot()), ...lab.servers.map((server) => server.start())]
  if (state.bystander) machines.push(makeMachine(state.id, 'bystander', net.bystander).then(() => {}))
  // All to their end: what is still being made must not outlive the tear-down of what failed.
  for (const result of await Promise.allSettled(machines))
    if (result.status === 'rejected') throw result.reason
  return lab
}

/**
 * Starts a lab. Installs what this machine lacks and builds the images when they are not in the cache.
 * @throws LabError in words; nothing is left standing then.
 */
export const startLab = async (options: LabOptions): Promise<Lab> => {
  const log = options.log ?? (() => {})
  if (!Number.isInteger(options.servers) || options.servers < 1 || options.servers > serverNames.length)
    throw new LabError(`a lab has 1 to ${serverNames.length} servers, not ${options.servers}`)
  await prepareMachine(log)
  sweep(log)
  const built = await images(runningLabs().length > 0, log)
  const shim = await kernelShim()
  const started = Date.now()
  const state = describe(options, built, shim)
  saveState(state)
  guard(state.id)
  try {
    await bringUp(state)
    const owner = options.persistent === true ? null : state.owner
    saveState({ ...state, owner, ready: true })
    if (owner === null) release(state.id)
    const took = Date.now() - started
    if (owner !== null) beating.set(state.id, keepDiskGoing({ ...state, seat: seats.client }))
    log(`lab ${state.id}: client and ${options.servers} servers up in ${(took / 1000).toFixed(1)} s`)
    return new Lab(state, took)
  } catch (error) {
    release(state.id)
    tearDown(state.id)
    throw error
  }
}

/** States of the labs that run on this machine and that somebody answers for. */
export const runningLabs = (): LabState[] =>
  [...allStates().values()].filter((state): state is LabState => state !== null && isOwned(state))

/** Takes hold of a lab that another process started. Its client's address is taken to be the first one. */
export const attachLab = (state: LabState): Lab => new Lab(state, 0)

/** Takes a lab down by its id. Returns what would not go. */
export const takeDown = (id: string): string[] => tearDown(id)
