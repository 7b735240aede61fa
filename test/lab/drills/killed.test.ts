import { beforeAll, describe } from 'vitest'
import { anySeed, buildLoops, everyKind, judged, loop, loopMinutes } from '../loops.ts'
import { labProfile, nothingLeft, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'

/**
 * Drills 30 and 31: at every external command and call of provision, create, up and down it fails, hangs past its
 * deadline, or is where SIGINT, SIGTERM or SIGKILL hit cloudvault; then the verb is run again.
 */

/** A mirrored vault for up and down; meanwhile, on a machine of its own, one server for provision and create. */
const mirrored = useLab({ servers: 2 })
const alone = useLab({ servers: 1 })

/** What is under way when the time of the loops is over is ended properly, and that takes a while. */
const patience = (loopMinutes + 20) * 60_000

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
}, 900_000)

describe('killed', () => {
  drill(
    30,
    mirrored,
    async () => {
      const options = { minutes: loopMinutes, seed: anySeed() }
      const [up, below] = await Promise.all([
        loop(mirrored(), everyKind('up'), options),
        loop(alone(), everyKind('provision', 'create'), options),
      ])
      const shown = `${judged(below, ['provision', 'create'])}; ${judged(up, ['up'])}`
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
      const options = { minutes: loopMinutes, seed: anySeed() }
      const shown = judged(await loop(mirrored(), everyKind('down'), options), ['down'])
      await nothingLeft(mirrored())
      return shown
    },
    patience,
  )
})
