import { build } from 'esbuild'
import type { Lab } from '../../lab/index.ts'
import type { Kind } from './drivers/faults.ts'
import type { Verb } from './drivers/trial.ts'

/** Starts drivers/loops.ts in the lab's client: something happens at every point of a verb. */

export interface Loop {
  readonly verb: Verb
  readonly kinds: readonly Kind[]
}

export interface Looped {
  /** Points that were tried, per verb and kind. */
  readonly points: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** Seconds per "verb kind". */
  readonly seconds: Readonly<Record<string, number>>
  readonly surprises: readonly string[]
}

export const allKinds: readonly Kind[] = ['fail', 'hang', 'SIGINT', 'SIGTERM', 'SIGKILL']

const outfile = 'out/drivers/loops.mjs'

/** To be called once, before `loop`. */
export const buildLoops = (): Promise<unknown> =>
  build({
    entryPoints: ['test/lab/drivers/loops.ts'],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: ['koffi', 'cpu-features'],
    loader: { '.node': 'empty', '.sh': 'text' },
    banner: {
      js: "import { createRequire as __r } from 'node:module'; import { fileURLToPath as __f } from 'node:url'; import { dirname as __d } from 'node:path'; const require = __r(import.meta.url); const __filename = __f(import.meta.url); const __dirname = __d(__filename);",
    },
  })

/**
 * @param lab with a vault "photos"; where `up` or `down` are tried it has to be created
 * @param newcomer the server that `add` is told of: "name=gra,ssh=…"
 */
export const loop = async (
  lab: Lab,
  work: readonly Loop[],
  deadlineMs: number,
  newcomer?: string,
): Promise<Looped> => {
  const [node = '', program = ''] = lab.client.cloudvaultArgv([])
  const job = { self: [node, program], vault: 'photos', member: 'fsn', work, newcomer }
  const argv = [node, `${lab.client.repository}/${outfile}`, JSON.stringify(job)]
  const ran = await lab.client.run(argv, { deadlineMs })
  return JSON.parse(ran.stdout.trim().split('\n').at(-1) ?? '{}') as Looped
}

/** "up: fail 48, hang 30; down: …" */
export const pointsShown = ({ points }: Looped): string =>
  Object.entries(points)
    .map(([verb, kinds]) => {
      const each = Object.entries(kinds).map(([kind, count]) => `${kind} ${count}`)
      return `${verb}: ${each.join(', ')}`
    })
    .join('; ')
