import { beforeAll, describe, expect } from 'vitest'
import { allKinds, buildLoops, type Loop, type Looped, loop, pointsShown } from '../loops.ts'
import { labProfile, nothingLeft, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'

/**
 * Drills 30 and 31: at every external command and call of provision, create, up and down it fails, hangs past its
 * deadline, or is where SIGINT, SIGTERM or SIGKILL hit cloudvault; then the verb is run again.
 */

/** A mirrored vault for up and down; meanwhile, on a machine of its own, one server for provision and create. */
const mirrored = useLab({ servers: 2 })
const alone = useLab({ servers: 1 })

/** Long enough for a machine that has other things to do. */
const patience = 90 * 60_000

beforeAll(async () => {
  await labProfile(mirrored())
  await verb(mirrored(), ['provision', 'photos'])
  await verb(mirrored(), ['create', 'photos', '--confirm', 'photos'])
  await labProfile(alone(), {
    shipped: 'single',
    changes: [
      ['scratch', 'photos'],
      ['root@vps-fsn.example.com:22', `vps-fsn\n    host_key: ${alone().server('fsn').hostKeyFingerprint}`],
    ],
  })
  await buildLoops()
})

const every = (...verbs: readonly Loop['verb'][]): Loop[] =>
  verbs.map((name) => ({ verb: name, kinds: allKinds }))

/** No surprise, and every loop really went round. */
const judge = (looped: Looped, verbs: readonly string[]): string => {
  console.log(`${pointsShown(looped)}\n${JSON.stringify(looped.seconds)}`)
  expect(looped.surprises).toEqual([])
  for (const name of verbs)
    for (const kind of allKinds)
      expect(looped.points[name]?.[kind] ?? 0, `${name} ${kind}`).toBeGreaterThan(10)
  return pointsShown(looped)
}

describe('killed', () => {
  drill(
    30,
    mirrored,
    async () => {
      const [up, below] = await Promise.all([
        loop(mirrored(), every('up'), patience),
        loop(alone(), every('provision', 'create'), patience),
      ])
      const shown = `${judge(below, ['provision', 'create'])}; ${judge(up, ['up'])}`
      await nothingLeft(mirrored())
      await nothingLeft(alone())
      return shown
    },
    patience,
  )

  drill(
    31,
    mirrored,
    async () => {
      const shown = judge(await loop(mirrored(), every('down'), patience), ['down'])
      await nothingLeft(mirrored())
      return shown
    },
    patience,
  )
})
