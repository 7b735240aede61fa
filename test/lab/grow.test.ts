import { beforeAll, describe, expect, test } from 'vitest'
import { changes } from './changes.ts'
import { aloneUp, copyPhotos, status, verdictBecomes } from './drills/work.ts'
import { nothingLeft, useLab, verb } from './support.ts'

/**
 * An ordinary vault on one server gets a second one, and another in the place of a dead one, while somebody writes into
 * it who never sees an error. In the end each of the two is enough. More of it: long/grow.test.ts.
 */

const lab = useLab({ servers: 3 })
const { joins, whileWriting, members, enough } = changes(lab)

beforeAll(async () => {
  await aloneUp(lab(), { size: '1GiB' })
  await copyPhotos(lab())
}, 600_000)

describe('a vault whose members change while it is in use', () => {
  test('from one server to two: it heals itself from then on', { timeout: 900_000 }, async () => {
    await whileWriting('one to two', () => verb(lab(), ['add-mirror', 'photos', ...joins('gra', '--member')]))
    expect((await status(lab())).verdict).toBe('healthy')
    expect(await members()).toEqual(['fsn', 'gra'])
  })

  test('a dead one is replaced', { timeout: 900_000 }, async () => {
    await lab().server('gra').kill()
    await verdictBecomes(lab(), 'degraded', 120)
    await whileWriting('replace of a dead one', () =>
      verb(lab(), ['replace', 'photos', 'gra', ...joins('hel', '--with')]),
    )
    await verdictBecomes(lab(), 'healthy', 240)
    expect(await members()).toEqual(['fsn', 'hel'])
  })

  test('each of those who are left has everything, and nothing else is left', {
    timeout: 900_000,
  }, async () => {
    await enough('fsn')
    await enough('hel')
    await nothingLeft(lab())
  })
})
