import { spawn } from 'node:child_process'
import { once } from 'node:events'
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
import { Faults, type Hitting, type Kind, type Share, strike } from './faults.ts'

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
  /** Which of the points are hit. */
  readonly share: Share
}

/** What is tried: something of this kind at the points of this verb. */
export interface Aim {
  readonly verb: Verb
  readonly kind: Kind
}

const runDeadline = 180_000

/** Says what is wrong with what a run left; '' when nothing is. `said` is its error. */
export type Judge = (done: boolean, said: string) => Promise<string>

/** Points that processes ended by SIGKILL have tried: one per line. */
const triedFile = '/tmp/loops-tried'
const logFile = '/tmp/loops.log'

export class Trial {
  readonly faults = new Faults()
  readonly surprises: string[] = []
  /** One handshake per server for all runs: it is slow in the guest, and only its own point tries it. */
  readonly connections = new Map<string, RemoteHost>()
  readonly job: Job
  stdout = ''
  readonly #machine = this.faults.local(new LocalHost(process.env))

  #aim: Aim = { verb: 'up', kind: 'fail' }
  readonly #known = new Map<string, { tried: Set<string>; met: Set<string> }>()

  constructor(job: Job) {
    this.job = job
  }

  /** From here on these points are tried; those that were tried with the same aim before stay tried. */
  aim(aim: Aim, share: Share): void {
    const key = `${aim.verb} ${aim.kind}`
    const known = this.#known.get(key) ?? { tried: new Set(), met: new Set() }
    this.#known.set(key, known)
    this.#aim = aim
    Object.assign(this.faults, { ...known, share, aimed: aim.kind })
  }

  /**
   * One run of a verb.
   * @returns whether it succeeded with nothing having happened to it
   */
  async once(verb: Verb, hitting: Hitting, kind: Kind, judge: Judge): Promise<boolean> {
    this.faults.begin(hitting, kind, verb === this.#aim.verb)
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
    const judgement = await judge(outcome === Exit.ok, words(outcome))
    if (judgement !== '') say(judgement)
    this.#say(`${kind} ${verb} ${hit}`)
    return outcome === Exit.ok && hit === ''
  }

  surprise(text: string): void {
    this.surprises.push(text)
    this.#say(`SURPRISE ${text}`)
  }

  /** To be looked at while it runs, too. */
  #say(text: string): void {
    const line = `${Math.round(performance.now() / 1000)} s ${text}\n`
    process.stderr.write(line)
    appendFileSync(logFile, line)
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
    return (await this.#isChanging()) ? resumeVerb(world, this.job.vault, {}) : begin()
  }

  async #isChanging(): Promise<boolean> {
    return (await readRecord(vaultPaths(this.job.vault, process.env).record))?.job !== undefined
  }

  /** A change that got to its end in spite of what happened to it is taken back, so that it can be begun again. */
  async takeBack(verb: Verb): Promise<void> {
    if (verb !== 'add' && verb !== 'remove') return
    if ((await this.#isChanging()) || this.hasNewcomer() !== (verb === 'add')) return
    await this.once(verb === 'add' ? 'remove' : 'add', 'none', 'fail', async () => '')
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
   * @param more whether there is time for this run
   * @param ready before each run
   * @returns whether the last one came to its end
   */
  async killed(verb: Verb, more: (run: number) => boolean, ready: () => Promise<unknown>): Promise<boolean> {
    const { tried } = this.faults
    writeFileSync(triedFile, [...tried].map((point) => `${point}\n`).join(''))
    // What fails twice at the same place will fail for ever.
    for (let run = 0, stuck = 0; more(run) && stuck < 2; run++) {
      await ready()
      const { signal, said } = await this.#child(verb)
      const points = readFileSync(triedFile, 'utf8').split('\n').filter(Boolean)
      for (const point of points) tried.add(point)
      const last = points.at(-1) ?? 'nothing'
      this.#say(`SIGKILL ${verb} ${signal === null ? 'ended' : last}`)
      if (signal === null && said === '') return true
      if (signal === null) this.surprise(`${verb}, after SIGKILL at ${last}: ${said}`)
      stuck = signal === null ? stuck + 1 : 0
      if (stuck === 2) this.surprise(`${verb}: no end after SIGKILL`)
    }
    return false
  }

  async #child(verb: Verb): Promise<{ signal: string | null; said: string }> {
    const [node = '', program = ''] = [process.execPath, process.argv[1]]
    const job = { ...this.job, share: this.faults.share, killed: verb }
    const child = spawn(node, [program, JSON.stringify(job)], { stdio: ['ignore', 'pipe', 'inherit'] })
    const timer = setTimeout(() => child.kill('SIGABRT'), runDeadline)
    let said = ''
    child.stdout.on('data', (bytes: Buffer) => {
      said += bytes.toString()
    })
    const [, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    clearTimeout(timer)
    if (signal === null || signal === 'SIGKILL') return { signal, said }
    return { signal: null, said: `it did not end within ${runDeadline / 1000} s` }
  }

  /** The body of such a process: prints nothing when the verb succeeded. */
  async beKilled(verb: Verb): Promise<void> {
    for (const point of readFileSync(triedFile, 'utf8').split('\n')) this.faults.tried.add(point)
    this.faults.onHit = (point) => appendFileSync(triedFile, `${point}\n`)
    this.faults.share = this.job.share
    this.faults.begin('next', 'SIGKILL', true)
    const outcome: unknown = await this.run(verb).catch((error: unknown) => error)
    if (outcome !== Exit.ok) process.stdout.write(words(outcome))
    process.exit(0)
  }
}

const nameOf = (newcomer: string): string => /^name=(\w+)/.exec(newcomer)?.[1] ?? ''

const words = (outcome: unknown): string =>
  outcome instanceof Fault
    ? `${outcome.message} (${outcome.details.stands ?? ''}) ${outcome.details.detail ?? ''}`
    : outcome instanceof Error
      ? `${outcome.stack}`
      : `exit ${String(outcome)}`
