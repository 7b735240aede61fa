import { beforeAll, expect, test } from 'vitest'
import { anySeed, buildLoops, loop, pointsShown } from './loops.ts'
import { labProfile, nothingLeft, useLab, verb } from './support.ts'

/**
 * Loops, not samples: external commands and calls of `up` and of `down` fail, each once, on real kernels: a sixth of them
 * that is another one each time, then the others while the time lasts. Drills 30 and 31 do the same for longer, with what
 * else may happen there, and to `provision` and `create` too.
 */
const lab = useLab({ servers: 2 })

beforeAll(async () => {
  await labProfile(lab())
  await verb(lab(), ['provision', 'photos'])
  await verb(lab(), ['create', 'photos', '--confirm', 'photos'])
  await buildLoops()
}, 600_000)

test('whichever command of up or down fails, nothing is left half done and the next run converges', async () => {
  const all = (of: number) =>
    (['up', 'down'] as const).map((verb) => ({ aim: { verb, kind: 'fail' as const }, of }))
  const looped = await loop(lab(), [...all(6), ...all(3), ...all(1)], { minutes: 8, seed: anySeed() })
  console.log(`every command: ${pointsShown(looped)}`)
  expect(looped.surprises).toEqual([])
  for (const verb of ['up', 'down']) {
    const [tried = 0, there = 0] = looped.points[verb]?.fail ?? []
    expect(there, verb).toBeGreaterThan(20)
    expect(tried, verb).toBeGreaterThan(1)
  }
  await nothingLeft(lab())
}, 1_500_000)
