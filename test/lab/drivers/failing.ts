import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { downVerb } from '../../../src/cli/down.ts'
import { realWorld } from '../../../src/cli/real-world.ts'
import { upVerb } from '../../../src/cli/up.ts'
import type { World } from '../../../src/cli/world.ts'
import { Exit, Fault } from '../../../src/fault.ts'
import type { Command, Host, Output } from '../../../src/host/host.ts'

/**
 * Runs in the client: makes external command N of `up` (and of `down`) fail, for every N, until one run needs fewer
 * commands than N. After each failure it looks at the machine, then lets the verb converge. Prints one JSON line.
 */

/** Numbers every command that any host runs; number `failAt` is not run and says that it failed. */
class Faults {
  seen = 0
  failAt = 0
  hit = ''

  wrap<H extends Host>(host: H): H {
    const run = async (command: Command): Promise<Output> => {
      this.seen++
      if (this.seen !== this.failAt) return host.run(command)
      this.hit = `${host.name}: ${command.argv.slice(0, 3).join(' ')}`
      return { code: 1, stdout: '', stderr: 'made to fail' }
    }
    return new Proxy(host, { get: (target, key) => (key === 'run' ? run : bound(target, key)) })
  }
}

const bound = (target: object, key: string | symbol): unknown => {
  const value: unknown = Reflect.get(target, key)
  return typeof value === 'function' ? value.bind(target) : value
}

const faults = new Faults()
const real = realWorld()
const silent = { write: () => true, isTTY: false } as unknown as World['stdout']
const world: World = {
  ...real,
  stdout: silent,
  stderr: silent,
  self: JSON.parse(process.argv[2] ?? '[]') as string[],
  local: faults.wrap(real.local),
  connect: async (profile, member) => faults.wrap(await real.connect(profile, member)),
}

/** What stands on this machine; empty when nothing does. */
const standing = (): string[] => [
  ...readdirSync('/sys/block').filter(
    (name) => name.startsWith('nbd') && existsSync(`/sys/block/${name}/pid`),
  ),
  ...readdirSync('/dev/mapper').filter((name) => name.startsWith('cv-')),
  ...readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(' /vault/photos ')),
  ...execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.startsWith('ssh -N')),
]

interface Tally {
  points: number
  surprises: string[]
}

/** @param verb fails at every N; @param back puts the machine into the state the verb starts from */
const everyN = async (
  verb: () => Promise<number>,
  back: () => Promise<void>,
  clean: boolean,
): Promise<Tally> => {
  const tally: Tally = { points: 0, surprises: [] }
  for (let n = 1; n <= 200; n++) {
    faults.seen = 0
    faults.failAt = n
    faults.hit = ''
    const outcome = await verb().catch((error: unknown) => error)
    faults.failAt = 0
    if (faults.hit === '') return tally // it needs fewer commands than n: every one has been made to fail
    tally.points++
    if (outcome instanceof Error && !(outcome instanceof Fault))
      tally.surprises.push(`${n} ${faults.hit}: a bug: ${outcome.stack}`)
    const left = standing()
    if (clean && outcome instanceof Fault && left.length > 0)
      tally.surprises.push(`${n} ${faults.hit}: left ${left.join('; ')}`)
    await back().catch((error: unknown) =>
      tally.surprises.push(`${n} ${faults.hit}: did not converge: ${String(error)}`),
    )
  }
  tally.surprises.push('no end after 200 commands')
  return tally
}

const up = () => upVerb(world, 'photos', {})
const down = () => downVerb(world, 'photos', {})
const must = (code: number): void => {
  if (code !== Exit.ok) throw new Error(`exit ${code}`)
}
const downWell = async (): Promise<void> => {
  must(await down())
  if (standing().length > 0) throw new Error(`left ${standing().join('; ')}`)
}

const ups = await everyN(up, downWell, true)
await downWell().catch(() => {})
must(await up())
const downs = await everyN(
  down,
  async () => {
    await downWell()
    must(await up())
  },
  false,
)
await downWell().catch(() => {})
process.stdout.write(`${JSON.stringify({ ups, downs })}\n`)
process.exit(0)
