import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { downVerb } from '../../../src/cli/down.ts'
import { realWorld } from '../../../src/cli/real-world.ts'
import { upVerb } from '../../../src/cli/up.ts'
import type { World } from '../../../src/cli/world.ts'
import { type Perform, perform } from '../../../src/engine/action.ts'
import { Exit, Fault } from '../../../src/fault.ts'
import type { Command, Host, LocalMachine, Output } from '../../../src/host/host.ts'
import { LocalHost } from '../../../src/host/local.ts'
import { Secret } from '../../../src/host/secret.ts'
import { type RemoteHost, resolveSsh } from '../../../src/host/ssh.ts'
import { showSession } from '../../../src/server/session.ts'

/**
 * Runs in the client: makes every external command and every call (netlink, superblocks, files) of `up` and of `down`
 * fail once. Each run lets the first one fail that never failed before, until a run has none left and succeeds; so
 * every run also shows that the one before left nothing in its way. Prints one JSON line.
 */

/** A code that no tool gives a meaning, so that it never counts as an answer ("not blank", "not there"). */
const failed = 99

/**
 * Points are known by what is done, where, and the how-manieth time in its run, not by a running number: members go
 * side by side, and number 17 of one run is not number 17 of the next.
 */
class Faults {
  readonly failed = new Set<string>()
  readonly #seen = new Map<string, number>()
  #armed: boolean = false
  /** The point that failed in this run. */
  hit = ''

  /** @param armed the first point that never failed does so in this run */
  begin(armed: boolean): void {
    this.#seen.clear()
    this.#armed = armed
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
    if (!this.#armed || this.hit !== '' || this.failed.has(point)) return false
    this.failed.add(point)
    this.hit = point
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

const faults = new Faults()
const machine = faults.local(new LocalHost(process.env))
const real = realWorld(machine)
/** One handshake per server for all runs: it is slow in the guest, and it is not what is tried here. */
const connections = new Map<string, RemoteHost>()
const silent = { write: () => true, isTTY: false } as unknown as World['stdout']
const world: World = {
  ...real,
  stdout: silent,
  stderr: silent,
  self: JSON.parse(process.argv[2] ?? '[]') as string[],
  perform: faults.perform,
  connect: async (profile, member) => {
    if (faults.pass(member.name, 'connect'))
      throw new Fault(Exit.unreachable, `made to fail: connect to ${member.name}`)
    const known = connections.get(member.name)
    if (known) await resolveSsh(machine, member.ssh, process.env)
    const remote = known ?? (await real.connect(profile, member))
    connections.set(member.name, remote)
    return faults.remote(remote)
  },
}

const folder = (path: string): string[] => (existsSync(path) ? readdirSync(path) : [])
const text = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '')

/** What of a vault stands, here and on the servers; empty when nothing does. */
const standing = async (): Promise<string[]> => [
  ...folder('/sys/block').filter((name) => existsSync(`/sys/block/${name}/pid`)),
  ...folder('/dev/mapper').filter((name) => name.startsWith('cv-')),
  ...text('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => line.includes(' /vault/photos ')),
  ...processes().filter((line) => /^ssh -N|cloudvault\.js monitor/.test(line)),
  ...folder('/run/cloudvault/photos').filter((name) => /\.(pid|sock)$/.test(name)),
  ...claimed(),
  ...(await Promise.all([...connections.values()].map(held))).flat(),
]

const processes = (): string[] =>
  folder('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => text(`/proc/${pid}/cmdline`).replaceAll('\0', ' '))

/** Steps that the receipt says are ours. */
const claimed = (): string[] => {
  const { steps } = JSON.parse(text('/var/lib/cloudvault/photos/receipt.json')) as {
    steps: { name: string; state: string }[]
  }
  return steps.filter(({ state }) => state !== 'found').map(({ name, state }) => `receipt: ${name} ${state}`)
}

const held = async (server: RemoteHost): Promise<string[]> =>
  (await showSession(server, 'photos', server.name)).held ? [`session on ${server.name}`] : []

const surprises: string[] = []
const up = () => upVerb(world, 'photos', {})
const down = () => downVerb(world, 'photos', {})

/** One run of a verb. @returns whether it succeeded with nothing made to fail */
const once = async (
  verb: () => Promise<number>,
  armed: boolean,
  judge: (done: boolean) => Promise<string>,
): Promise<boolean> => {
  faults.begin(armed)
  const outcome: unknown = await verb().catch((error: unknown) => error)
  const { hit } = faults
  const say = (what: string): number =>
    surprises.push(
      `${verb.name}, ${hit === '' ? 'nothing failing' : hit}: ${what}; it said: ${words(outcome)}`,
    )
  if (outcome instanceof Error && !(outcome instanceof Fault)) say('a bug')
  if (outcome !== Exit.ok && hit === '') say('did not succeed')
  const judgement = await judge(outcome === Exit.ok)
  if (judgement !== '') say(judgement)
  process.stderr.write(`${Math.round(performance.now() / 1000)} s ${verb.name} ${hit}\n`)
  return outcome === Exit.ok && hit === ''
}

const words = (outcome: unknown): string =>
  outcome instanceof Fault
    ? `${outcome.message} (${outcome.details.stands ?? ''})`
    : outcome instanceof Error
      ? `${outcome.stack}`
      : `exit ${String(outcome)}`

const leftOver = async (): Promise<string> => {
  const found = await standing()
  return found.length > 0 ? `left ${found.join('; ')}` : ''
}
const notUp = async (): Promise<string> =>
  (await standing()).some((line) => line.includes(' /vault/photos ')) ? '' : 'not mounted'
const upJudge = (done: boolean): Promise<string> => (done ? notUp() : leftOver())
const downJudge = async (done: boolean): Promise<string> => (done ? leftOver() : '')

const udevRule = '/run/udev/rules.d/59-cloudvault.rules'
/** Like a machine that has never run cloudvault: the kernel step has its modules and its rule to set up. */
const forgetKernel = (): void => {
  const tried = [...faults.failed].some((point) => point.includes(udevRule)) // the rule is the last it sets up
  if (!tried) rmSync(udevRule, { force: true })
}

/** Far above what there is; a run that never ends is a surprise, too. */
const most = 150

/** `up` undoes what it made, so every run starts from nothing. */
const everyUp = async (): Promise<number> => {
  faults.failed.clear()
  for (let run = 0; run < most; run++) {
    forgetKernel()
    if (await once(up, true, upJudge)) return faults.failed.size
    if (faults.hit === '') return faults.failed.size
    // A run that succeeded although something failed in it stands now, and the next one would find it standing.
    if ((await leftOver()) !== '') await once(down, false, downJudge)
  }
  surprises.push(`up: no end after ${most} runs`)
  return faults.failed.size
}

/**
 * `down` goes on where the last one stopped. While one member's branch fails the others go on, so what they passed
 * is met in a later descent, until one descent has nothing new.
 */
const everyDown = async (): Promise<number> => {
  faults.failed.clear()
  for (let run = 0, before = -1; run < most && before < faults.failed.size; run++) {
    before = faults.failed.size
    while (!(await once(down, true, downJudge)) && faults.hit !== '' && run < most) run++
    if (before < faults.failed.size) await once(up, false, upJudge)
  }
  return faults.failed.size
}

const ups = await everyUp()
const downs = await everyDown()
process.stdout.write(`${JSON.stringify({ ups, downs, surprises })}\n`)
process.exit(0)
