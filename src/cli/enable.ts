import type { Observer } from '../engine/events.ts'
import type { Step } from '../engine/step.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import type { Secret } from '../host/secret.ts'
import { systemdRuns } from '../host/systemd.ts'
import { findCredential, readCredential, requireSystemdCreds } from '../keyring/credential.ts'
import { unlockKeyring } from '../keyring/keyring.ts'
import { passphraseFrom } from '../keyring/passphrase.ts'
import { listTokens, unlockWithToken } from '../keyring/token.ts'
import { bootCredential } from '../names.ts'
import { applySteps } from '../server/apply.ts'
import { bootSteps, placesOf } from '../stack/boot.ts'
import { keyringOf } from '../stack/home.ts'
import { type ScrubRhythm, timerStep } from '../stack/scrub-timer.ts'
import { password } from '../ui/ask.ts'
import { jsonLine } from '../ui/json.ts'
import { tasks } from '../ui/tasks.ts'
import { atBoot } from './background.ts'
import { Context, requireRoot } from './context.ts'
import { keptPassphrase } from './enable-passphrase.ts'
import { printPlan } from './plan.ts'
import { rehearse } from './rehearse.ts'
import { isAlone } from './unlock.ts'
import type { World } from './world.ts'

/**
 * `cloudvault enable`: from the next boot on the vault comes up by itself. Everything that would fail there, where
 * nobody looks, is tried now: the passphrase, the servers, the SSH keys without an agent.
 */

export interface EnableOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
  /** How often every copy is read by itself; monthly unless said otherwise. */
  readonly scrub?: ScrubRhythm
}

export const enableVerb = async (world: World, name: string, options: EnableOptions): Promise<ExitCode> => {
  requireRoot(world, 'enable', name)
  await requireSystemd('nothing was changed')
  // No lock: the rehearsal below takes it.
  const context = await Context.open(world, name, { change: false })
  try {
    if (context.record?.phase !== 'created') throw notCreated(context.profile.vault)
    return await enable(world, context, options)
  } finally {
    await context.close()
  }
}

const notCreated = (vault: string): Fault =>
  new Fault(Exit.missing, `this machine has no finished record of ${vault}`, {
    stands: 'nothing was changed',
    next: `cloudvault create ${vault}`,
  })

const enable = async (world: World, context: Context, options: EnableOptions): Promise<ExitCode> => {
  const { profile, paths } = context
  const { vault } = profile
  const source = await sourceAtBoot(world, context, options.dryRun === true)
  try {
    const bringUp = atBoot(world, ['up', profile.path])
    const unit = bootSteps(world.local, {
      vault,
      mountAt: profile.mount.at,
      bringUp,
      places: placesOf([...bringUp, profile.path], paths.state),
      credential: source.line,
    })
    const rhythm = options.scrub ?? 'monthly'
    const timer = timerStep(world.local, { vault, rhythm, scrub: atBoot(world, ['scrub', profile.path]) })
    const steps = [...source.steps, ...unit, timer]
    if (options.dryRun) {
      await printPlan(world, 'cloudvault.enable/1', steps, 'up', options.json === true)
      return Exit.ok
    }
    const warning = await rehearse(world, profile)
    const group = { group: vault, steps: steps.map((step) => step.name) }
    const apply = (observe: Observer) => applySteps(steps, { signal: world.signal, observe })
    const applied = await tasks(world, `enable ${vault}`, [group], apply, { json: options.json === true })
    const changed = applied.some(({ result }) => result !== 'present')
    tell(world, vault, { changed, warning, steps: applied, rhythm }, options.json === true)
    return Exit.ok
  } finally {
    source.wipe()
  }
}

const tell = (
  world: World,
  vault: string,
  done: { changed: boolean; warning: string | null; steps: readonly object[]; rhythm: ScrubRhythm },
  json: boolean,
): void => {
  if (json) {
    const { steps, warning, rhythm } = done
    const shown = {
      schema: 'cloudvault.enable/1',
      vault,
      scrub: rhythm,
      steps,
      ...(warning ? { warning } : {}),
    }
    world.stdout.write(jsonLine(shown))
    return
  }
  const lines = [
    done.changed ? `${vault} comes up at every boot from now on` : `${vault} comes up at every boot already`,
    ...(done.rhythm === 'off'
      ? []
      : [`every copy is read ${done.rhythm}: cloudvault status ${vault} shows when`]),
    ...(done.warning ? [`but today it would not: ${done.warning}; it tries again every two minutes`] : []),
  ]
  world.stdout.write(`${lines.join('\n')}\n`)
}

/** @throws Fault 3 where systemd does not run the machine */
export const requireSystemd = async (stands: string): Promise<void> => {
  if (await systemdRuns()) return
  throw new Fault(Exit.missing, 'systemd does not run this machine, so nothing starts a vault at boot', {
    stands,
    next: 'call `cloudvault up` from what starts things here, and `cloudvault down` from what ends them',
  })
}

/** Where the passphrase comes from when nobody can be asked. */
interface Source {
  /** What keeps it; none when the profile's own source works at boot. */
  readonly steps: readonly Step[]
  /** The unit's line that loads it. */
  readonly line: string | null
  wipe(): void
}

const sourceAtBoot = async (world: World, context: Context, dryRun: boolean): Promise<Source> => {
  const { vault, unlock } = context.profile
  const source = unlock.passphrase
  const opens = (secret: Secret): Promise<void> => opensKeyring(world, context, secret)
  if (source.kind === 'prompt') {
    if (await opensAlone(world, context)) return { steps: [], line: null, wipe: () => {} }
    await requireSystemdCreds(world.local)
    const name = bootCredential(vault)
    const kept = keptPassphrase(world.local, name, opens)
    const isKept = dryRun || (await kept.step(null).probe()).is === 'present'
    const secret = isKept ? null : await asked(world, vault)
    if (secret) await kept.prove(secret)
    const line = `LoadCredentialEncrypted=${name}:${kept.path}`
    return { steps: [kept.step(secret)], line, wipe: () => secret?.wipe() }
  }
  if (source.kind === 'credential') {
    const stored = await findCredential(source.name)
    if (stored === null) throw noCredential(source.name)
    if (stored.encrypted) await opens(await readCredential(world.local, source.name, stored.path))
    const line = `LoadCredential${stored.encrypted ? 'Encrypted' : ''}=${source.name}:${stored.path}`
    return { steps: [], line, wipe: () => {} }
  }
  if (!dryRun) await opens(await passphraseFrom(source, world, () => asked(world, vault)))
  return { steps: [], line: null, wipe: () => {} }
}

/** Whether a device of this machine opens it with nobody there; tried now. */
const opensAlone = async (world: World, context: Context): Promise<boolean> => {
  const keyring = keyringOf(context.vault)
  const [first] = await listTokens(world.local, keyring)
  if (!first || !isAlone(first)) return false
  try {
    const key = await unlockWithToken(world.local, keyring, first, null)
    key.wipe()
    return true
  } catch (error) {
    if (error instanceof Fault && error.exit === Exit.secret) return false
    throw error
  }
}

const asked = (world: World, vault: string): Promise<Secret> =>
  password(world, {
    message: `Passphrase of ${vault}, to be kept for the boot:`,
    flag: 'another passphrase source in the profile (file, command or credential)',
  })

/** @throws Fault 9 when it does not; what was tried is wiped */
const opensKeyring = async (world: World, context: Context, secret: Secret): Promise<void> => {
  try {
    const key = await unlockKeyring(world.local, keyringOf(context.vault), secret)
    key.wipe()
  } finally {
    secret.wipe()
  }
}

const noCredential = (name: string): Fault =>
  new Fault(Exit.secret, `the credential ${name}, which the profile names, is kept nowhere on this machine`, {
    stands: 'nothing was changed',
    next: `systemd-creds encrypt --name=${name} - /etc/credstore.encrypted/${name}   (type the passphrase, then Ctrl-D twice)`,
  })
