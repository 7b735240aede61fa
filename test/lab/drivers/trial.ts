import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { addMirrorVerb } from '../../../src/cli/add-mirror.ts'
import { createVerb } from '../../../src/cli/create.ts'
import { downVerb } from '../../../src/cli/down.ts'
import { provisionVerb } from '../../../src/cli/provision.ts'
import { realWorld } from '../../../src/cli/real-world.ts'
import { removeMirrorVerb } from '../../../src/cli/remove-mirror.ts'
import { resumeVerb } from '../../../src/cli/resume.ts'
import { unprovisionVerb } from '../../../src/cli/unprovision.ts'
import { upVerb } from '../../../src/cli/up.ts'
import type { World } from '../../../src/cli/world.ts'
import { Exit, Fault } from '../../../src/fault.ts'
import { LocalHost } from '../../../src/host/local.ts'
import { type RemoteHost, resolveSsh } from '../../../src/host/ssh.ts'
import { vaultPaths } from '../../../src/record/paths.ts'
import { readRecord } from '../../../src/record/record.ts'
import { Faults, type Hitting, type Kind, strike } from './faults.ts'

/** Runs verbs inside the lab's client, something happening to them on the way, and notes what surprises. */

export type Verb = 'provision' | 'unprovision' | 'create' | 'up' | 'down' | 'add' | 'remove'

export interface Job {
  /** How cloudvault is started again in the background. */
  readonly self: readonly string[]
  readonly vault: string
  /** The one member that `provision` is tried on. */
  readonly member: string
  /** What `add` is told of the server that comes, and `remove` takes away again: "name=gra,ssh=…". */
  readonly newcomer?: string
}

/** Above what any run takes; a run that never ends is a surprise, too. */
const runDeadline = 180_000

/** Points that were already tried by processes that SIGKILL has ended: one per line. */
const triedFile = '/tmp/loops-tried'

export class Trial {
  readonly faults = new Faults()
  readonly surprises: string[] = []
  /** One handshake per server for all runs: it is slow in the guest, and only its own point tries it. */
  readonly connections = new Map<string, RemoteHost>()
  readonly job: Job
  /** What the last verb printed. */
  stdout = ''
  readonly #machine = this.faults.local(new LocalHost(process.env))

  constructor(job: Job) {
    this.job = job
  }

  /**
   * One run of a verb.
   * @param judge says what is wrong with what it left; '' when nothing is
   * @returns whether it succeeded with nothing having happened to it
   */
  async once(
    verb: Verb,
    hitting: Hitting,
    kind: Kind,
    judge: (done: boolean) => Promise<string>,
  ): Promise<boolean> {
    this.faults.begin(hitting, kind)
    const outcome: unknown = await this.run(verb).catch((error: unknown) => error)
    const { hit } = this.faults
    const where = this.faults.hit === '' ? 'calm' : `${kind} at ${this.faults.hit}`
    const say = (what: string): void =>
      this.surprise(`${verb}, ${where}: ${what}; it said: ${words(outcome)}`)
    if (outcome instanceof Error && !(outcome instanceof Fault)) say('a bug')
    if (outcome !== Exit.ok && hit === '') say('did not succeed')
    const asked = hit !== '' && hitting === 'next' && (kind === 'SIGINT' || kind === 'SIGTERM')
    if (asked && outcome !== Exit.ok && !(outcome instanceof Fault && outcome.exit === Exit.interrupted))
      say('neither done nor interrupted')
    const judgement = await judge(outcome === Exit.ok)
    if (judgement !== '') say(judgement)
    process.stderr.write(`${Math.round(performance.now() / 1000)} s ${kind} ${verb} ${hit}\n`)
    return outcome === Exit.ok && hit === ''
  }

  surprise(text: string): void {
    this.surprises.push(text)
    process.stderr.write(`SURPRISE ${text}\n`)
  }

  /** Runs the verb as main.ts would, in a world of its own. */
  run(verb: Verb): Promise<number> {
    const { vault, member, newcomer = '' } = this.job
    const world = this.#world()
    switch (verb) {
      case 'provision':
        return provisionVerb(world, vault, [member], { json: true })
      case 'unprovision':
        return unprovisionVerb(world, vault, [member], { json: true, confirm: vault })
      case 'create':
        return createVerb(world, vault, { confirm: vault })
      case 'up':
        return upVerb(world, vault, {})
      case 'down':
        return downVerb(world, vault, {})
      case 'add':
        return this.#goOn(world, () => addMirrorVerb(world, vault, { member: this.#newcomer(), yes: true }))
      case 'remove':
        return this.#goOn(world, () =>
          removeMirrorVerb(world, vault, nameOf(newcomer), { mirror: 'single', confirm: vault }),
        )
    }
  }

  /** As a person would: what was begun is resumed, else it is begun. */
  async #goOn(world: World, begin: () => Promise<number>): Promise<number> {
    const { vault } = this.job
    const record = await readRecord(vaultPaths(vault, process.env).record)
    return record?.job ? resumeVerb(world, vault, {}) : begin()
  }

  /** Cut off between the profile and the record, the newcomer stands in the profile: then its name is enough. */
  #newcomer(): string {
    const { newcomer = '' } = this.job
    return this.hasNewcomer() ? nameOf(newcomer) : newcomer
  }

  /** Whether it stands in the profile. */
  hasNewcomer(): boolean {
    const { vault, newcomer = '' } = this.job
    return readFileSync(`/etc/cloudvault/${vault}.yaml`, 'utf8').includes(`name: ${nameOf(newcomer)}\n`)
  }

  #world(): World {
    // Each run hears signals anew, as a new process would; a second one would end the process.
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.removeAllListeners(name)
    const real = realWorld(this.#machine)
    this.stdout = ''
    const write = (text: string): boolean => {
      this.stdout += text
      return true
    }
    return {
      ...real,
      stdout: { write, isTTY: false } as unknown as World['stdout'],
      stderr: { write: () => true, isTTY: false } as unknown as World['stderr'],
      self: this.job.self,
      perform: this.faults.perform,
      connect: async (profile, member) => {
        const kind = this.faults.pass(member.name, 'connect', false)
        if (kind === 'fail') throw new Fault(Exit.unreachable, `made to fail: connect to ${member.name}`)
        const known = kind === null ? this.connections.get(member.name) : undefined
        if (known) await resolveSsh(this.#machine, member.ssh, process.env)
        const remote = known ?? (await strike(kind, this.#machine, () => real.connect(profile, member)))
        this.connections.set(member.name, remote)
        return this.faults.remote(remote)
      },
    }
  }

  /**
   * Runs the verb in processes of their own, each of which SIGKILL ends at the next point that was never tried, until
   * one comes to its end. Every run so also shows that the one before left nothing in its way.
   * @returns how many were killed
   */
  async killed(verb: Verb, most: number): Promise<number> {
    writeFileSync(triedFile, '')
    const points = (): string[] => readFileSync(triedFile, 'utf8').split('\n').filter(Boolean)
    // What fails twice at the same place will fail for ever.
    for (let run = 0, stuck = 0; run < most && stuck < 2; run++) {
      const { signal, said } = await this.#child(verb)
      const last = points().at(-1) ?? 'nothing'
      process.stderr.write(
        `${Math.round(performance.now() / 1000)} s SIGKILL ${verb} ${signal === null ? 'ended' : last}\n`,
      )
      if (signal === null && said === '') return points().length
      if (signal === null) this.surprise(`${verb}, after SIGKILL at ${last}: ${said}`)
      stuck = signal === null ? stuck + 1 : 0
    }
    this.surprise(`${verb}: no end after SIGKILL`)
    return points().length
  }

  async #child(verb: Verb): Promise<{ signal: string | null; said: string }> {
    const [node = '', program = ''] = [process.execPath, process.argv[1]]
    const child = spawn(node, [program, JSON.stringify({ ...this.job, killed: verb })], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const timer = setTimeout(() => child.kill('SIGABRT'), runDeadline)
    let said = ''
    child.stdout.on('data', (bytes: Buffer) => {
      said += bytes.toString()
    })
    const signal = await ended(child)
    clearTimeout(timer)
    if (signal === null || signal === 'SIGKILL') return { signal, said }
    return { signal: null, said: `it did not end within ${runDeadline / 1000} s` }
  }

  /** The body of such a process: prints nothing when the verb succeeded. */
  async beKilled(verb: Verb): Promise<void> {
    for (const point of readFileSync(triedFile, 'utf8').split('\n')) this.faults.tried.add(point)
    this.faults.onHit = (point) => appendFileSync(triedFile, `${point}\n`)
    this.faults.begin('next', 'SIGKILL')
    const outcome: unknown = await this.run(verb).catch((error: unknown) => error)
    if (outcome !== Exit.ok) process.stdout.write(words(outcome))
    process.exit(0)
  }
}

const nameOf = (newcomer: string): string => /^name=(\w+)/.exec(newcomer)?.[1] ?? ''

const ended = (child: ChildProcess): Promise<NodeJS.Signals | null> =>
  new Promise((resolve) => child.once('close', (_, signal) => resolve(signal)))

const words = (outcome: unknown): string =>
  outcome instanceof Fault
    ? `${outcome.message} (${outcome.details.stands ?? ''}) ${outcome.details.detail ?? ''}`
    : outcome instanceof Error
      ? `${outcome.stack}`
      : `exit ${String(outcome)}`
