import { Exit, Fault } from '../fault.ts'
import type { Profile } from '../profile/profile.ts'
import { atBoot } from './background.ts'
import type { World } from './world.ts'

/** Servers may be far away and slow; their handshakes have deadlines of their own. */
const deadline = 300_000

/**
 * Runs `up --dry-run` as systemd will at boot: without this terminal, this environment and this SSH agent. It asks the
 * servers and changes nothing.
 * @returns what would keep it from coming up just now and may pass by itself, or null
 * @throws Fault of what will not pass by itself
 */
export const rehearse = async (world: World, profile: Profile): Promise<string | null> => {
  const words = ['systemd-run', '--quiet', '--wait', '--collect', '--pipe', '--property=LimitCORE=0', '--']
  const { code, stdout, stderr } = await world.local.run({
    argv: [...words, ...atBoot(world, ['up', profile.path, '--dry-run', '--json'])],
    deadline,
  })
  if (code === 0) return null
  const said = faultOf(stdout)
  const what = said?.what ?? `a rehearsal of \`up\` failed (exit ${code})`
  if (code === Exit.unreachable || code === Exit.decide || code === Exit.busy) return what
  throw new Fault(said?.exit ?? Exit.missing, `at boot it would not come up: ${what}`, {
    stands: 'nothing was changed',
    ...(said?.member ? { member: said.member } : {}),
    ...(said?.next ? { next: said.next } : {}),
    detail: said?.detail ?? stderr,
  })
}

type Said = Pick<Fault, 'exit'> & {
  readonly what: string
  readonly member?: string
  readonly next?: string
  readonly detail?: string
}

/** The error object of `--json`, if that is what was printed. */
const faultOf = (stdout: string): Said | null => {
  try {
    const data = JSON.parse(stdout) as Said & { schema?: string }
    return data.schema === 'cloudvault.error/1' ? data : null
  } catch {
    return null
  }
}
