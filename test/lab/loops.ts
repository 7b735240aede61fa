import { build } from 'esbuild'
import { expect } from 'vitest'
import type { Lab } from '../../lab/index.ts'
import { bundling } from '../../scripts/bundling.mjs'
import type { Kind } from './drivers/faults.ts'
import type { Aim, Verb } from './drivers/trial.ts'

/** Starts drivers/loops.ts in the lab's client: something happens at every point of a verb. */

export interface Looped {
  /** Points that were tried and that there are, per verb and kind. */
  readonly points: Readonly<Record<string, Readonly<Record<string, readonly [number, number]>>>>
  /** Seconds per "verb kind". */
  readonly seconds: Readonly<Record<string, number>>
  readonly surprises: readonly string[]
  /** Says which points were tried, where it was not all of them. */
  readonly seed: number
}

/** What is tried at every point of a verb, or at one of so many. */
export interface Loop {
  readonly aim: Aim
  readonly of: number
}

const worst: readonly Kind[] = ['fail', 'SIGKILL']
const milder: readonly Kind[] = ['hang', 'SIGINT', 'SIGTERM']

/**
 * Every kind has its turn at a tenth of the points (a fifth of those that can hang: they are fewer), because a run of a slow
 * verb takes a minute; then failures and SIGKILL at a third, what is milder at a sixth, and the other points in the same
 * order. So a machine that is too slow for all of it leaves out what is worth least. Which points, the seed says.
 */
export const everyKind = (...verbs: readonly Verb[]): Loop[] => {
  const all = (kinds: readonly Kind[], of: number): Loop[] =>
    kinds.flatMap((kind) => verbs.map((verb) => ({ aim: { verb, kind }, of })))
  const turns = [...worst, ...milder].flatMap((kind) => all([kind], kind === 'hang' ? 5 : 10))
  return [...turns, ...all(worst, 3), ...all(milder, 6), ...all([...worst, ...milder], 1)]
}

const outfile = 'out/drivers/loops.mjs'

/** To be called once, before `loop`. */
export const buildLoops = (): Promise<unknown> =>
  build({
    entryPoints: ['test/lab/drivers/loops.ts'],
    outfile,
    ...bundling,
  })

export interface Looping {
  /** Nothing further is begun after that long; what is under way takes up to a few minutes more. */
  readonly minutes: number
  readonly seed: number
  /** The server that `add` is told of: "name=gra,ssh=…". */
  readonly newcomer?: string
}

/** @param lab with a vault "photos"; where `up` or `down` are tried it has to be created */
export const loop = async (lab: Lab, work: readonly Loop[], options: Looping): Promise<Looped> => {
  const { minutes, seed, newcomer } = options
  const [node = '', program = ''] = lab.client.cloudvaultArgv([])
  const share = { of: 1, seed }
  const names = { self: [node, program], vault: 'photos', member: 'fsn', newcomer }
  const job = { ...names, work, share, seconds: minutes * 60 }
  const argv = [node, `${lab.client.repository}/${outfile}`, JSON.stringify(job)]
  const ran = await lab.client.run(argv, { deadlineMs: (minutes + 15) * 60_000 })
  return { seed, ...JSON.parse(ran.stdout.trim().split('\n').at(-1) ?? '{}') } as Looped
}

/** Minutes for the loops of a drill: enough for all of them on a machine with nothing else to do. CLOUDVAULT_MINUTES says others. */
export const loopMinutes = Number(process.env.CLOUDVAULT_MINUTES ?? 35)

/** A number that is printed with what was seen, and can be given again: CLOUDVAULT_SEED. */
export const anySeed = (): number => Number(process.env.CLOUDVAULT_SEED ?? Math.floor(Math.random() * 1000))

/** No surprise, and every kind had its turn. @returns how many points of how many: "seed 7: up: fail 48 of 48, …" */
export const judged = (looped: Looped, verbs: readonly Verb[]): string => {
  const shown = pointsShown(looped)
  console.log(`${shown}\n${JSON.stringify(looped.seconds)}`)
  expect(looped.surprises).toEqual([])
  for (const verb of verbs)
    for (const kind of [...worst, ...milder])
      expect(
        looped.points[verb]?.[kind]?.[0] ?? 0,
        `${verb} ${kind}: a slow machine needs more minutes`,
      ).toBeGreaterThan(2)
  return shown
}

/** "seed 7: up: fail 48 of 48, hang 10 of 30; down: …" */
export const pointsShown = ({ points, seed }: Looped): string => {
  const verbs = Object.entries(points).map(([verb, kinds]) => {
    const each = Object.entries(kinds).map(([kind, [tried, all]]) => `${kind} ${tried} of ${all}`)
    return `${verb}: ${each.join(', ')}`
  })
  return `seed ${seed}: ${verbs.join('; ')}`
}
