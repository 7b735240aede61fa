import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { downVerb } from '../../../src/cli/down.ts'
import { realWorld } from '../../../src/cli/real-world.ts'
import { upVerb } from '../../../src/cli/up.ts'
import type { World } from '../../../src/cli/world.ts'
import { Exit, Fault } from '../../../src/fault.ts'
import { LocalHost } from '../../../src/host/local.ts'
import { type RemoteHost, resolveSsh } from '../../../src/host/ssh.ts'
import { showSession } from '../../../src/server/session.ts'
import { type Failing, Faults } from './faults.ts'

/**
 * Runs in the client: makes every external command and every call (netlink, superblocks, files) of `up` and of `down`
 * fail once. Each run lets the first one fail that never failed before, until a run has none left and succeeds; so
 * every run also shows that the one before left nothing in its way. Prints one JSON line.
 */

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

/** What of a vault stands, here and on the servers, in a fixed order; '' when nothing does. */
const standing = async (): Promise<string> =>
  [
    ...folder('/sys/block').filter((name) => existsSync(`/sys/block/${name}/pid`)),
    ...folder('/dev/mapper').filter((name) => name.startsWith('cv-')),
    ...mounts(),
    ...processes().filter((line) => /^ssh -N|cloudvault\.js monitor/.test(line)),
    ...folder('/run/cloudvault/photos').filter((name) => /\.(pid|sock)$/.test(name)),
    ...claimed(),
    ...(await Promise.all([...connections.values()].map(held))).flat(),
  ]
    .sort((a, b) => a.localeCompare(b))
    .join('; ')

const mounts = (): string[] =>
  text('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => line.includes(' /vault/photos '))

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
  failing: Failing,
  judge: (done: boolean) => Promise<string>,
): Promise<boolean> => {
  faults.begin(failing)
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
  return found === '' ? '' : `left ${found}`
}
const notUp = async (): Promise<string> => (mounts().length > 0 ? '' : 'not mounted')
const downJudge = async (done: boolean): Promise<string> => (done ? leftOver() : '')

const udevRule = '/run/udev/rules.d/59-cloudvault.rules'
/** Like a machine that has never run cloudvault: the kernel step has its modules and its rule to set up. */
const forgetKernel = (): void => {
  const tried = [...faults.failed].some((point) => point.includes(udevRule)) // the rule is the last it sets up
  if (!tried) rmSync(udevRule, { force: true })
}

/** Far above what there is; a run that never ends is a surprise, too. */
const most = 150

/**
 * What of an earlier `up` stands when the failing ones begin: all but the mount, the devices alone, nothing. From the
 * top, so that not everything has to be made anew for every point near it. Each point is met on the first floor that
 * it is above; an `up` that fails must leave exactly what it found.
 */
const floors = ['cryptsetup close', 'netlink nbd DISCONNECT', null]

const everyUp = async (): Promise<number> => {
  faults.failed.clear()
  await once(up, 'none', notUp)
  for (const floor of floors) await everyUpFrom(floor)
  return faults.failed.size
}

const everyUpFrom = async (floor: string | null): Promise<void> => {
  const toFloor = () => once(down, floor === null ? 'none' : { every: floor }, downJudge)
  await toFloor()
  const found = await standing()
  const asFound = async (): Promise<string> => {
    const now = await standing()
    return now === found ? '' : `found ${found || 'nothing'} and left ${now || 'nothing'}`
  }
  for (let run = 0; run < most; run++) {
    if (floor === null) forgetKernel()
    if (await once(up, 'next', (done) => (done ? notUp() : asFound()))) return
    if (faults.hit === '') return
    if (mounts().length > 0) await toFloor() // it got there in spite of the failure
  }
  surprises.push(`up: no end after ${most} runs`)
}

/**
 * `down` goes on where the last one stopped. While one member's branch fails the others go on, so what they passed
 * is met in a later descent, until one descent has nothing new.
 */
const everyDown = async (): Promise<number> => {
  faults.failed.clear()
  for (let run = 0, before = -1; run < most && before < faults.failed.size; run++) {
    before = faults.failed.size
    while (!(await once(down, 'next', downJudge)) && faults.hit !== '' && run < most) run++
    if (before < faults.failed.size) await once(up, 'none', notUp)
  }
  return faults.failed.size
}

/** Both begin with a vault that is up. */
const ups = await everyUp()
const downs = await everyDown()
process.stdout.write(`${JSON.stringify({ ups, downs, surprises })}\n`)
process.exit(0)
