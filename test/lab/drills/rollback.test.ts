import { afterAll, beforeAll, expect } from 'vitest'
import { nothingLeft, refusedUp, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'
import { copyPhotos, everyFileIsRight, rightAlone, vaultAtRest, verdictBecomes } from './work.ts'

/** Providers restore last week's snapshot: all of them, or one. */
const lab = useLab({ servers: 2 })

const disk = '/srv/cloudvault/photos.img'
const sh = async (script: string): Promise<string> => (await lab().client.run(script)).stdout.trim()
const onAll = (script: string) => Promise.all(lab().servers.map((server) => server.run(script)))

/** A snapshot of every disk is taken, and then life goes on for a week. */
const aWeekPasses = async (): Promise<void> => {
  await onAll(`cp --sparse=always -a ${disk} ${disk}.old`)
  await verb(lab(), ['up', 'photos'])
  await sh('cp /tmp/sums /tmp/sums.old')
  await copyPhotos(lab(), 'newer')
  await verb(lab(), ['down', 'photos'])
}

beforeAll(async () => {
  await vaultAtRest(lab())
})

afterAll(async () => {
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
})

drill(14, lab, async () => {
  await aWeekPasses()
  await onAll(`mv ${disk}.old ${disk}`)
  const said = await refusedUp(lab(), 5)
  expect(said).toMatch(/generation \d+ < recorded \d+/)
  expect(said).toContain('--accept-rollback')
  // Neither the flag alone, nor another name, nor leaving the better half for later.
  for (const flags of [['--accept-rollback'], ['--accept-rollback', '--confirm', 'fotos']])
    await refusedUp(lab(), 2, ...flags)
  await refusedUp(lab(), 5, '--confirm', 'photos')
  await refusedUp(lab(), 5, '--allow-stale')
  const up = await verb(lab(), ['up', 'photos', '--accept-rollback', '--confirm', 'photos'])
  expect(up.stdout).toContain('ROLLED BACK')
  await sh('mv /tmp/sums.old /tmp/sums')
  const files = await everyFileIsRight(lab())
  await verdictBecomes(lab(), 'healthy', 120)
  await verb(lab(), ['down', 'photos'])
  expect(await sh('grep -c \'"from"\' /var/lib/cloudvault/photos/record.json')).toBe('1')
  await verb(lab(), ['up', 'photos'])
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
  return `refused with ${/generation \d+ < recorded \d+/.exec(said)?.[0]}; accepted by name: ${files} older files right`
})

drill(15, lab, async () => {
  const gra = lab().server('gra')
  await aWeekPasses()
  await gra.run(`mv ${disk}.old ${disk}`)
  const said = await refusedUp(lab(), 7)
  expect(said).toContain('gra is behind generation')
  expect(said).toContain('--allow-stale')
  const up = await verb(lab(), ['up', 'photos', '--allow-stale'])
  expect(up.stdout).toContain('RESILVERING: gra')
  await verdictBecomes(lab(), 'healthy', 300)
  const scrubbed = await verb(lab(), ['scrub', 'photos'])
  expect(scrubbed.stdout).toContain('every copy of everything is right')
  await verb(lab(), ['down', 'photos'])
  const files = await rightAlone(lab(), 'gra')
  await lab().server('fsn').run(`rm -f ${disk}.old`)
  await verb(lab(), ['up', 'photos'])
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
  return `exit 7, resilvered, scrub clean; ${files} files right from the mended one alone`
})
