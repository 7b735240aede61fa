import { Receipt } from '../engine/receipt.ts'
import { Exit, Fault } from '../fault.ts'
import { requireRoom } from '../host/files.ts'
import type { Command, Host } from '../host/host.ts'
import { requirePrivate } from '../host/private.ts'
import type { Secret } from '../host/secret.ts'
import type { RemoteHost } from '../host/ssh.ts'
import { memberId } from '../names.ts'
import { openProfile } from '../profile/find.ts'
import type { Member, Profile } from '../profile/profile.ts'
import { asRecorded } from '../record/job.ts'
import { type VaultPaths, vaultPaths } from '../record/paths.ts'
import { type RecordData, restoreCommand } from '../record/record.ts'
import { showSession } from '../server/session.ts'
import { forbidCoreDumps } from '../stack/attach/cores.ts'
import { findByBackend } from '../stack/attach/sysfs.ts'
import { keyringOf } from '../stack/home.ts'
import { refuseOldKeyring } from '../stack/keyring-age.ts'
import type { Supervisor } from '../stack/supervise.ts'
import type { Vault } from '../stack/vault.ts'
import { comeback } from './comeback.ts'
import { chooseFacts, type Facts, reserving } from './facts.ts'
import { type Known, readKnown, survivesReboot, usualRoom } from './known.ts'
import { unlockVault } from './unlock.ts'
import type { World } from './world.ts'

/**
 * One vault as a verb opens it: the profile, what this client knows of it, and the connections. Made once per verb,
 * closed in its `finally`.
 */
export class Context {
  /** As the record bears it out: who takes part, and what can be counted on. */
  readonly profile: Profile
  /** As the file says it. */
  readonly written: Profile
  readonly paths: VaultPaths
  readonly record: RecordData | null
  readonly receipt: Receipt
  readonly supervisor: Supervisor
  readonly vault: Vault
  /** Members whose server did not answer when `connectAll` was called, and why. */
  readonly unreachable = new Map<string, Fault>()
  /** Members whose server has been silent for long already: nobody waits for it for long again. */
  readonly silent = new Set<string>()
  readonly #world: World
  readonly #facts: Facts
  readonly #remotes = new Map<string, Promise<RemoteHost>>()
  readonly #connected = new Map<string, RemoteHost>()
  #key: Secret | null = null
  #release: (() => Promise<void>) | null = null

  private constructor(world: World, known: Known & { readonly written: Profile }, facts: Facts) {
    this.#world = world
    this.profile = known.profile
    this.written = known.written
    this.paths = known.paths
    this.record = known.record
    this.receipt = known.receipt
    this.supervisor = known.supervisor
    this.#facts = facts
    this.vault = this.#vault(known, facts)
  }

  /**
   * Reads profile, record and receipt; contacts nobody.
   * @param change take the vault's lock: this verb changes something
   * @param goingUp the verb attaches: sessions without a device get a new nonce
   * @param room bytes that the verb is going to write into the state directory
   * @param rebuild a damaged record counts as lost
   * @param touched also members that are about to come, or have just gone: their devices may stand
   * @param waitMs milliseconds that another cloudvault is waited for; default none
   * @param goingDown takes away what stands, and needs no key: also when others could have changed our files
   * @throws Fault 2 profile, 3 no room for what must be written down, 5 damaged record, 6 another cloudvault is at work on it
   */
  static async open(
    world: World,
    name: string,
    options: {
      readonly change: boolean
      readonly goingUp?: boolean
      readonly room?: number
      readonly rebuild?: boolean
      readonly touched?: boolean
      readonly waitMs?: number
      readonly goingDown?: boolean
    },
  ): Promise<Context> {
    await forbidCoreDumps()
    const { profile } = await openProfile(name, world.env, { uid: world.uid })
    const paths = vaultPaths(profile.vault, world.env)
    // Typed inside the vault, we and what we start would be what keeps it busy.
    if (options.change) process.chdir('/')
    if (options.change && !options.goingDown)
      await requirePrivate('the state directory', paths.state, world.uid)
    const locks = options.change ? [await world.local.lock(paths.lock, profile.vault, options.waitMs)] : []
    const release = async (): Promise<void> => {
      for (const lock of locks) await lock.release()
    }
    const reserve = options.goingUp ? reserving(world.local, paths, locks) : null
    try {
      if (options.change) await requireRoom(paths.state, options.room ?? usualRoom)
      const all = await readKnown(world, profile, paths, options.rebuild === true)
      const whom = options.touched ? 'touched' : 'taking part'
      const known = { ...all, written: profile, profile: asRecorded(profile, all.record, whom) }
      if (options.change && known.receipt.damaged)
        world.stderr.write(
          `${paths.receipt} was unreadable and counts as lost; a copy is ${known.receipt.damaged}\n`,
        )
      const facts = await chooseFacts(known.profile, known.receipt, reserve)
      const context = new Context(world, known, facts)
      context.#release = release
      return context
    } catch (error) {
      await release()
      throw error
    }
  }

  /** Writes the chosen indexes and nonces down before anything is made with them. */
  saveFacts(): Promise<void> {
    const entries = this.profile.members.flatMap((member) => [
      [`nonce.${member.name}`, this.vault.nonce(member.name)] as const,
      [`nbd.${member.name}`, `${this.vault.nbdIndex(member.name)}`] as const,
    ])
    return this.receipt.setFacts(Object.fromEntries(entries))
  }

  /**
   * Sessions whose nonce the receipt has lost, asked back from the servers: they are ours when the holder is us.
   * A server that does not answer now is met again, and told of, by the step that needs it.
   * @param which `attached`: one without a device is better taken anew; `every`: whatever the receipt says, for new nonces
   */
  async adoptSessions(which: 'attached' | 'all' | 'every'): Promise<void> {
    const { profile, receipt, vault } = this
    await Promise.all(
      profile.members.map(async ({ name }) => {
        if (which !== 'every' && receipt.state(`session ${name}`) !== null) return
        if (which === 'attached' && (await findByBackend(memberId(profile.vault, name))) === null) return
        const found = await showSession(vault.server(name), profile.vault, name).catch(() => null)
        if (found?.held && found.holder === vault.holder) this.#facts.nonces.set(name, found.nonce)
      }),
    )
  }

  /**
   * Connects to every member's server at once. Servers that do not answer are noted in `unreachable`.
   * @param names only these
   * @throws Fault 5 as soon as one server's host key is not the pinned one
   */
  async connectAll(names?: readonly string[]): Promise<void> {
    const members = this.profile.members.filter(({ name }) => names?.includes(name) ?? true)
    await Promise.all(
      members.map(async (member) => {
        try {
          await this.#remote(member)
        } catch (error) {
          if (!(error instanceof Fault) || error.exit !== Exit.unreachable) throw error
          this.unreachable.set(member.name, error)
        }
      }),
    )
  }

  /** Opens the keyring, asking where somebody must be asked, before the first row is drawn. */
  async unlock(): Promise<void> {
    if (this.#key) return
    await refuseOldKeyring(this.vault)
    this.#key = await unlockVault(this.#world, this.profile, keyringOf(this.vault))
  }

  /** A key that `create` has just made. */
  holdKey(key: Secret): void {
    this.#key = key
  }

  /** Ends connections, wipes the key, gives the lock back. */
  async close(): Promise<void> {
    this.#key?.wipe()
    this.#key = null
    const remotes = await Promise.allSettled(this.#remotes.values())
    await Promise.all(
      remotes.map((remote) => (remote.status === 'fulfilled' ? remote.value.close() : undefined)),
    )
    await this.#release?.()
    this.#release = null
  }

  #remote(member: Member): Promise<RemoteHost> {
    const known = this.#remotes.get(member.name)
    if (known !== undefined) return known
    const deadline = this.silent.has(member.name) ? [silentDeadline] : []
    const connecting = this.#world.connect(this.profile, member, ...deadline).then((remote) => {
      this.#connected.set(member.name, remote)
      return remote
    })
    this.#remotes.set(member.name, connecting)
    return connecting
  }

  #vault(known: { bootId: string; holder: string }, facts: Facts): Vault {
    const byName = new Map(this.profile.members.map((member) => [member.name, member]))
    const hosts = new Map<string, Host>(
      [...byName].map(([name, member]) => [
        name,
        { name, run: async (command: Command) => (await this.#remote(member)).run(command) },
      ]),
    )
    return {
      profile: this.profile,
      paths: this.paths,
      local: this.#world.local,
      server: (member) => required(hosts.get(member), member),
      remote: (member) => this.#connected.get(member) ?? null,
      address: async (member) => {
        const { resolveSsh } = await import('../host/ssh.ts')
        const { ssh } = required(byName.get(member), member)
        return (await resolveSsh(this.#world.local, ssh, this.#world.env)).host
      },
      ...comeback(this.profile, {
        connect: (member) => this.#world.connect(this.profile, member),
        receipt: () => Receipt.open(this.paths.receipt, known.bootId, survivesReboot),
        holder: known.holder,
        nonces: facts.nonces,
      }),
      bootId: known.bootId,
      restore: (file) => restoreCommand(this.record?.kit?.path ?? this.paths.kit, file),
      holder: known.holder,
      nonce: (member) => required(facts.nonces.get(member), member),
      nbdIndex: (member) => required(facts.indexes.get(member), member),
      vaultKey: async () => required(this.#key, 'vault key'),
    }
  }
}

/** Time for a server that may just be back, and short enough to be waited for once more, in milliseconds. */
const silentDeadline = 6000

const required = <T>(value: T | null | undefined, what: string): T => {
  if (value === null || value === undefined) throw new Error(`no ${what} here`)
  return value
}

/** @throws Fault 3: the kernel's devices need root */
export const requireRoot = (world: World, verb: string, name: string): void => {
  if (world.uid === 0) return
  throw new Fault(Exit.missing, `${verb} needs root: it makes block devices and mounts`, {
    stands: 'nothing was changed',
    next: `sudo cloudvault ${verb} ${name}`,
  })
}
