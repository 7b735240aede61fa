import { beforeAll, expect, test } from 'vitest'
import { buildLoops, loop, pointsShown } from './loops.ts'
import { labProfile, nothingLeft, useLab, verb } from './support.ts'

/**
 * Loops, not samples: every single external command and call of `up` and of `down` fails once, on real kernels. The
 * drills 30 and 31 do the same with what else may happen there, and to `provision` and `create` too.
 */
const lab = useLab({ servers: 2 })

beforeAll(async () => {
  await labProfile(lab())
  await verb(lab(), ['provision', 'photos'])
  await verb(lab(), ['create', 'photos', '--confirm', 'photos'])
  await buildLoops()
})

test('whichever command of up or down fails, nothing is left half done and the next run converges', async () => {
  const work = (['up', 'down'] as const).map((name) => ({ verb: name, kinds: ['fail'] as const }))
  const looped = await loop(lab(), work, 1_500_000)
  console.log(`every command: ${pointsShown(looped)}`)
  expect(looped.surprises).toEqual([])
  const { up = {}, down = {} } = looped.points
  expect(up.fail).toBeGreaterThan(30)
  expect(down.fail).toBeGreaterThan(20)
  await nothingLeft(lab())
}, 1_600_000)
