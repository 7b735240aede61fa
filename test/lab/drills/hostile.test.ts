import { beforeAll, expect } from 'vitest'
import { nothingLeft, useLab, verb } from '../support.ts'
import { dumpKey, durableAt, heavyDay, logWrites, openPoint, playBack } from './crash-points.ts'
import { drill } from './drill.ts'
import { behave, makeHostile } from './hostile.ts'
import { fillSolo, readSolo, soloGone, soloUp } from './solo.ts'
import {
  everyFileIsRight,
  journal,
  rightAlone,
  status,
  vaultUp,
  verdictBecomes,
  writeDuring,
} from './work.ts'

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
  return rightAlone(lab(), 'gra')
}

drill(7, lab, async () => {
  await asEver()
  await verb(lab(), ['down', 'photos'])
  behave(gra(), { flush: false })
  const refused = await verb(lab(), ['up', 'photos'], 5)
  expect(refused.stderr).toContain('the export of gra was refused: it offers no flush')
  await nothingLeft(lab())
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
  expect(said).toMatch(/gra: parked after [\d.]+ s; going on without it/)
  expect(said).not.toContain('nothing was missed')
  const mended = /resilvered: (\d+) blocks mended/.exec(said)?.[1]
  expect(Number(mended)).toBeGreaterThan(0)
  expect(await everyFileIsRight(lab())).toBeGreaterThanOrEqual(files)
  const alone = await rightOnGraAlone()
  await asEver()
  const found = await crashWithoutReboot()
  return `${files} files fsynced, longest wait ${worstMs} ms, ${mended} blocks mended; ${alone} files right on that provider alone. Only its program crashed: ${found}`
})

/**
 * The machine goes on, its server program loses its memory: nbd-server has none of its own, so the session is served
 * again at once. With a program that has one, what was written since the last flush is gone and nothing says so; the
 * checksums keep every file right, and a scrub finds it.
 */
const crashWithoutReboot = async (): Promise<string> => {
  behave(gra(), { keep: 'memory' })
  const before = (await journal(lab())).length
  await lab().client.run(
    'dd if=/dev/urandom of=/vault/photos/film bs=1M count=64 status=none && sha256sum /vault/photos/film >> /tmp/sums',
  )
  const writing = lab().client.start('sync -f /vault/photos')
  await lab().client.run('sleep 2')
  await gra().run('systemctl kill --signal=KILL cv-photos-gra.service')
  expect((await writing.wait()).code).toBe(0)
  await expect
    .poll(async () => (await journal(lab())).slice(before), { timeout: 60_000, interval: 1000 })
    .toContain('gra: back after')
  behave(gra(), {})
  const { verdict } = await status(lab())
  await everyFileIsRight(lab())
  const scrubbed = JSON.parse((await verb(lab(), ['scrub', 'photos', '--json'])).stdout)
  expect(scrubbed).toMatchObject({ status: 'finished', uncorrectable: 0 })
  expect(scrubbed.corrected).toBeGreaterThan(0)
  await rightOnGraAlone()
  await asEver()
  return `reconnected, ${verdict}, every file right, and the scrub mended ${scrubbed.corrected} blocks`
}

drill(6, lab, async () => {
  await asEver()
  const { files, worstMs } = await writeDuring(lab(), async () => {
    await lab().client.run('sleep 3')
    await lab().server('fsn').kill()
    await lab().server('fsn').start()
    await lab().client.run('sleep 3')
  })
  await verdictBecomes(lab(), 'healthy', 240)
  const scrubbed = await verb(lab(), ['scrub', 'photos', '--json'])
  expect(JSON.parse(scrubbed.stdout)).toMatchObject({ status: 'finished', corrected: 0, uncorrectable: 0 })
  expect(await everyFileIsRight(lab())).toBeGreaterThanOrEqual(files)
  return `${files} files fsynced, longest wait ${worstMs} ms; the scrub found nothing`
})

drill(8, lab, async () => {
  await asEver()
  const mirrored = await lyingMirror()
  await verb(lab(), ['down', 'photos'])
  const alone = await lyingAlone()
  await asEver()
  return `a mirror: ${mirrored}; alone: ${alone}`
})

/** The same boot, the same session: nothing but what is on its disk tells that it lied. */
const lyingMirror = async (): Promise<string> => {
  behave(gra(), { keep: 'lie' })
  const before = await journal(lab())
  const { files } = await writeDuring(lab(), async () => {
    await lab().client.run('sleep 3; sync -f /vault/photos; sleep 1')
    await gra().run('systemctl kill --signal=KILL cv-photos-gra.service')
    behave(gra(), {})
    await expect
      .poll(async () => (await journal(lab())).slice(before.length), { timeout: 90_000, interval: 2000 })
      .toMatch(/gra: lost what it had said was flushed: generation \d+ on its disk, \d+ on the others/)
  })
  await verdictBecomes(lab(), 'healthy', 240)
  const mended = /resilvered: (\d+) blocks mended/.exec((await journal(lab())).slice(before.length))?.[1]
  expect(Number(mended)).toBeGreaterThan(0)
  await rightOnGraAlone()
  return `noticed when it was back, ${mended} blocks mended, ${files} files right on the liar alone`
}

/** Beyond the tables, which mkfs puts into the first 101 MiB: without them there is nothing left to list. */
const tables = 110 << 20

const lyingAlone = async (): Promise<string> => {
  const files = await soloUp(lab(), gra())
  behave(gra(), { keep: 'lie', from: tables })
  await fillSolo(lab())
  await gra().kill()
  behave(gra(), {})
  await gra().start()
  await lab().client.cloudvault(['down', 'solo'])
  await verb(lab(), ['up', 'solo'])
  const met = await readSolo(lab())
  expect(met.wrong).toBe(0)
  expect(met.damaged.length).toBeGreaterThan(0)
  const scrubbed = await verb(lab(), ['scrub', 'solo', '--json'], 8)
  expect(JSON.parse(scrubbed.stdout).damaged.sort()).toEqual(met.damaged)
  await verb(lab(), ['status', 'solo', '--check'], 8)
  await soloGone(lab())
  return `exit 8, and the ${met.damaged.length} of ${files} files that were lost by name`
}

/** Each takes up to half a minute on a busy machine; fewer of them are said to be fewer. */
const points = Number(process.env.CLOUDVAULT_POINTS ?? 50)

drill(
  39,
  lab,
  async () => {
    await asEver()
    await verb(lab(), ['down', 'photos'])
    logWrites(lab(), gra())
    await verb(lab(), ['up', 'photos'])
    await lab().client.run('rm -f /tmp/evening')
    const day = lab().client.start(heavyDay)
    await lab().client.run('sleep 30; touch /tmp/evening')
    const ended = await day.wait()
    expect(`${ended.code} ${ended.stderr}`).toBe('0 ')
    await verb(lab(), ['down', 'photos'])
    const told = await lab().client.readFile('/tmp/day')
    await lab().client.run(dumpKey)
    let checked = 0
    const played = await playBack(lab(), gra(), points, async (image, at) => {
      const names = durableAt(told, at)
      checked += names.length
      await lab().client.run(['sh', '-c', openPoint, 'sh', lab().client.hostPath(image)], {
        input: names.join('\n'),
      })
    })
    expect(played.points).toBeGreaterThanOrEqual(points)
    expect(checked).toBeGreaterThan(points)
    await lab().client.run('rm -f /dev/shm/point.key')
    await asEver()
    return `${played.points} of ${played.flushes} flush points: each checks and mounts clean with every fsynced file (${checked} looked at)`
  },
  1_800_000,
)
