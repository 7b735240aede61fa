import { beforeAll, expect } from 'vitest'
import { leftOnClient, leftOnServer, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'
import { behave, makeHostile } from './hostile.ts'
import { everyFileIsRight, journal, vaultUp, verdictBecomes, writeDuring } from './work.ts'

/** Providers that lose what they said they had, and what a person has left then. gra is the one that does it. */
const lab = useLab({ servers: 2 })
const gra = () => lab().server('gra')

beforeAll(async () => {
  await makeHostile(lab(), gra())
  await vaultUp(lab(), { changes: [['patience: 30s', 'patience: 12s']] })
})

/** An honest server, and a vault that is up and whole. */
const asEver = async (): Promise<void> => {
  behave(gra(), {})
  await verb(lab(), ['up', 'photos'])
  await verdictBecomes(lab(), 'healthy', 120)
}

/** Every file is right when gra is the only server there is. @returns how many */
const rightOnGraAlone = async (): Promise<number> => {
  await verb(lab(), ['down', 'photos'])
  await lab().server('fsn').kill()
  await verb(lab(), ['up', 'photos', '--degraded=ro'])
  const files = await everyFileIsRight(lab())
  await verb(lab(), ['down', 'photos'])
  await lab().server('fsn').start()
  return files
}

drill(7, lab, async () => {
  await asEver()
  await verb(lab(), ['down', 'photos'])
  behave(gra(), { flush: false })
  const refused = await verb(lab(), ['up', 'photos'], 5)
  expect(refused.stderr).toContain('the export of gra was refused: it offers no flush')
  expect(await leftOnClient(lab())).toEqual([])
  for (const server of lab().servers) expect(await leftOnServer(server)).toEqual([])
  await asEver()
  return 'exit 5, gra named, nothing mounted, nothing left'
})

drill(5, lab, async () => {
  await asEver()
  behave(gra(), { keep: 'memory' })
  const { files, worstMs } = await writeDuring(lab(), async () => {
    await lab().client.run('sleep 3')
    await gra().kill()
    await verdictBecomes(lab(), 'degraded', 120)
    await gra().start()
    await lab().client.run('sleep 3')
  })
  await verdictBecomes(lab(), 'healthy', 240)
  const said = await journal(lab())
  expect(said).toContain('gra: parked after 12 s of silence')
  expect(said).not.toContain('nothing was missed')
  const mended = /resilvered: (\d+) blocks mended/.exec(said)?.[1]
  expect(Number(mended)).toBeGreaterThan(0)
  expect(await everyFileIsRight(lab())).toBeGreaterThanOrEqual(files)
  await rightOnGraAlone()
  await asEver()
  return `${files} files fsynced, longest wait ${worstMs} ms, ${mended} blocks mended; each file right on that provider alone`
})
