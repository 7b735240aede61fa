import { createHash } from 'node:crypto'
import { type Perform, perform } from '../../../src/engine/action.ts'
import { Exit, Fault } from '../../../src/fault.ts'
import type { Command, Host, LocalMachine, Output } from '../../../src/host/host.ts'
import { Secret } from '../../../src/host/secret.ts'
import type { RemoteHost } from '../../../src/host/ssh.ts'

/** Hosts and actions that something happens to where they are told to; used inside the lab's client. */

/**
 * What happens at a point. `fail`: a command ends with a code that means nothing, a call throws. `hang`: the command
 * does not end and meets the (shortened) deadline, by the product's own mechanism. A signal: it runs, and cloudvault
 * itself is sent the signal meanwhile.
 */
export type Kind = 'fail' | 'hang' | 'SIGINT' | 'SIGTERM' | 'SIGKILL'

/** A code that no tool gives a meaning, so that it never counts as an answer ("not blank", "not there"). */
const failed = 99

/** Milliseconds until a command that hangs is given up. */
const shortDeadline = 500

/** Milliseconds that a command on a server is given to be really running when SIGKILL comes. */
const underWay = 60

/** Which points are hit in a run: none, the first that was never hit, or every one that does this (and then it fails). */
export type Hitting = 'none' | 'next' | { readonly every: string }

/** One of so many points, chosen by a seed. */
export interface Share {
  readonly of: number
  readonly seed: number
}

/** The same points for the same seed, in whatever order they are met. */
const isOf = ({ of, seed }: Share, point: string): boolean =>
  createHash('sha256').update(`${seed} ${point}`).digest().readUInt32BE() % of === 0

/**
 * Points are known by what is done, where, and the how-manieth time in its run, not by a running number: members go
 * side by side, and number 17 of one run is not number 17 of the next.
 */
export class Faults {
  /** Points that were hit. */
  tried = new Set<string>()
  /** Points that were passed while the verb that is tried ran: all there is to hit. */
  met = new Set<string>()
  /** Only a share of the points is hit. */
  share: Share = { of: 1, seed: 0 }
  /** What is tried. Calls do not hang: their deadlines are the kernel's or their socket's. */
  aimed: Kind = 'fail'
  #passed: Set<string> | undefined
  readonly #seen = new Map<string, number>()
  #hitting: Hitting = 'none'
  #kind: Kind = 'fail'
  /** The (last) point that was hit in this run. */
  hit = ''
  /** Called with each point before anything happens there. */
  onHit: (point: string) => void = () => {}

  /** @param counts whether what is passed in this run is what there is to hit */
  begin(hitting: Hitting, kind: Kind, counts: boolean): void {
    this.#seen.clear()
    this.#passed = counts ? this.met : undefined
    this.#hitting = hitting
    this.#kind = typeof hitting === 'string' ? kind : 'fail'
    this.hit = ''
  }

  /** @returns what has to happen here, if anything */
  pass(where: string, what: string, isCommand: boolean): Kind | null {
    const known = `${where}: ${samePoint(what)}`
    const times = (this.#seen.get(known) ?? 0) + 1
    this.#seen.set(known, times)
    const point = times === 1 ? known : `${known} (${times})`
    const isPoint = isCommand || this.aimed !== 'hang'
    if (isPoint) this.#passed?.add(point)
    if (!this.#hits(point, isPoint)) return null
    this.hit = point
    this.onHit(point)
    return this.#kind
  }

  #hits(point: string, isPoint: boolean): boolean {
    if (this.#hitting === 'none') return false
    if (this.#hitting !== 'next') return point.includes(this.#hitting.every)
    if (!isPoint || this.hit !== '' || this.tried.has(point) || !isOf(this.share, point)) return false
    this.tried.add(point)
    return true
  }

  async run(host: Host, command: Command): Promise<Output> {
    const kind = this.pass(host.name, command.argv.join(' '), true)
    if (kind === 'fail') return { code: failed, stdout: '', stderr: 'made to fail' }
    if (kind === 'hang') return host.run({ argv: ['sleep', '3'], deadline: shortDeadline })
    return strike(kind, host, () => host.run(command))
  }

  local(machine: LocalMachine): LocalMachine {
    return {
      name: machine.name,
      run: (command) => this.run(machine, command),
      runForSecret: async (command) => {
        const kind = this.pass(machine.name, command.argv.join(' '), true)
        if (kind === 'fail')
          return { code: failed, secret: new Secret(new Uint8Array()), stderr: 'made to fail' }
        if (kind === 'hang') return machine.runForSecret({ argv: ['sleep', '3'], deadline: shortDeadline })
        return strike(kind, machine, () => machine.runForSecret(command))
      },
      runOnTerminal: (command) => machine.runOnTerminal(command),
      stayAwake: (why) => machine.stayAwake(why),
      lock: async (path, what) => {
        // A device that another one has is no failure: the next one is chosen.
        if (path.includes('/.devices/')) return machine.lock(path, what)
        const kind = this.pass(machine.name, `lock ${path}`, false)
        if (kind === 'fail') throw new Fault(Exit.busy, 'made to fail')
        return strike(kind, machine, () => machine.lock(path, what))
      },
    }
  }

  remote(host: RemoteHost): RemoteHost {
    const run = (command: Command): Promise<Output> => this.run(host, command)
    return new Proxy(host, {
      get: (target, key) => {
        if (key === 'run') return run
        if (key === 'close') return async () => {}
        const value: unknown = Reflect.get(target, key)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }

  /** Commands are counted by their host; here come the actions that are no command. */
  readonly perform: Perform = async (action) => {
    if (!('call' in action)) return perform(action)
    const kind = this.pass(action.on.name, action.text, false)
    if (kind === 'fail') throw new Fault(Exit.unreachable, `made to fail: ${action.text}`)
    return strike(kind, action.on, () => perform(action))
  }
}

/** Chosen anew for each session, counted up, or made up for one run: still the same point. */
const samePoint = (what: string): string =>
  what
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/\b[0-9a-f]{32}\b/g, 'NONCE')
    .replace(/generation \d+/, 'generation N')
    .replace(/ skip=\d+/, ' skip=ANYWHERE')
    .replaceAll(/\/kit-\w{6}/g, '/kit-NEW')

/** Does it, and sends this very process the signal as soon as it is under way. */
export const strike = async <T>(kind: Kind | null, host: Host, work: () => Promise<T>): Promise<T> => {
  if (kind === null || kind === 'fail' || kind === 'hang') return work()
  const running = work()
  if (kind === 'SIGKILL' && host.name !== 'here') {
    running.catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, underWay))
  }
  process.kill(process.pid, kind)
  return running
}
