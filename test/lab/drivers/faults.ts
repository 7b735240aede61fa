import { type Perform, perform } from '../../../src/engine/action.ts'
import { Exit, Fault } from '../../../src/fault.ts'
import type { Command, Host, LocalMachine, Output } from '../../../src/host/host.ts'
import { Secret } from '../../../src/host/secret.ts'
import type { RemoteHost } from '../../../src/host/ssh.ts'

/** Hosts and actions that fail where they are told to; used inside the lab's client. */

/** A code that no tool gives a meaning, so that it never counts as an answer ("not blank", "not there"). */
const failed = 99

/** Which points fail in a run: none, the first that never failed, or every one that does this. */
export type Failing = 'none' | 'next' | { readonly every: string }

/**
 * Points are known by what is done, where, and the how-manieth time in its run, not by a running number: members go
 * side by side, and number 17 of one run is not number 17 of the next.
 */
export class Faults {
  readonly failed = new Set<string>()
  readonly #seen = new Map<string, number>()
  #failing: Failing = 'none'
  /** The (last) point that failed in this run. */
  hit = ''

  begin(failing: Failing): void {
    this.#seen.clear()
    this.#failing = failing
    this.hit = ''
  }

  /** @returns whether this one has to fail */
  pass(where: string, what: string): boolean {
    // Chosen anew for each session, and newer after each: still the same point.
    const same = what.replaceAll(/\b[0-9a-f]{32}\b/g, 'NONCE').replace(/generation \d+/, 'generation N')
    const known = `${where}: ${same}`
    const times = (this.#seen.get(known) ?? 0) + 1
    this.#seen.set(known, times)
    const point = times === 1 ? known : `${known} (${times})`
    if (!this.#fails(point)) return false
    this.hit = point
    return true
  }

  #fails(point: string): boolean {
    if (this.#failing === 'none') return false
    if (this.#failing !== 'next') return point.includes(this.#failing.every)
    if (this.hit !== '' || this.failed.has(point)) return false
    this.failed.add(point)
    return true
  }

  async run(host: Host, command: Command): Promise<Output> {
    if (!this.pass(host.name, command.argv.join(' '))) return host.run(command)
    return { code: failed, stdout: '', stderr: 'made to fail' }
  }

  local(machine: LocalMachine): LocalMachine {
    return {
      name: machine.name,
      run: (command) => this.run(machine, command),
      runForSecret: async (command) => {
        if (!this.pass(machine.name, command.argv.join(' '))) return machine.runForSecret(command)
        return { code: failed, secret: new Secret(new Uint8Array()), stderr: 'made to fail' }
      },
      lock: async (path, what) => {
        if (!this.pass(machine.name, `lock ${path}`)) return machine.lock(path, what)
        throw new Fault(Exit.busy, 'made to fail')
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
    if ('call' in action && this.pass(action.on.name, action.text))
      throw new Fault(Exit.unreachable, `made to fail: ${action.text}`)
    return perform(action)
  }
}
