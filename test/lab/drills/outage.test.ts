import { beforeAll, describe, expect, test } from 'vitest'
import { leftOnClient, nothingLeft, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'
import {
  copyPhotos,
  everyFileIsRight,
  journal,
  rightAlone,
  saidSince,
  status,
  vaultUp,
  verdictBecomes,
  writeDuring,
} from './work.ts'

/** A provider falls silent while somebody works, and comes back. Mirrored, with a patience of 20 s. */
const lab = useLab({ servers: 2 })

beforeAll(() => vaultUp(lab(), { changes: [['patience: 30s', 'patience: 20s']] }), 600_000)

const scrubIsClean = async (): Promise<void> => {
  const scrubbed = JSON.parse((await verb(lab(), ['scrub', 'photos', '--json'])).stdout)
  expect(scrubbed).toMatchObject({ corrected: 0, uncorrectable: 0 })
}

/** Random reads and writes, every block verified, a flush now and then; until it is told to stop. */
const verifying = `rm -f /tmp/fio-enough; while [ ! -e /tmp/fio-enough ]; do
  fio --name=drill --directory=/vault/photos --size=16m --rw=randrw --bs=4k --ioengine=psync --fsync=16 \
    --verify=crc32c --verify_backlog=64 --verify_fatal=1 --io_size=4m --output-format=terse || exit 1; done`

drill(1, lab, async () => {
  const before = await journal(lab())
  const verifier = lab().client.start(verifying)
  await lab().client.run('until [ -s /vault/photos/drill.0.0 ]; do sleep 1; done; sleep 3')
  const { files, worstMs } = await writeDuring(lab(), async () => {
    // By name and not by the unit: systemd must not know, as it does not know of a program that hangs.
    const server = lab().server('gra')
    await server.run('pkill -STOP -x nbd-server')
    await lab().client.run('sleep 20')
    await server.run('pkill -CONT -x nbd-server', { allowFail: true })
    await lab().client.run('sleep 5')
  })
  await lab().client.run('touch /tmp/fio-enough')
  const ended = await verifier.wait()
  expect(`${ended.code} ${ended.stderr}`).toBe('0 ')
  expect(worstMs).toBeGreaterThan(8000)
  const said = await saidSince(lab(), before)
  expect(said).toMatch(/gra: back after [\d.]+ s, nothing was missed/)
  expect(said).not.toContain('parked')
  await verdictBecomes(lab(), 'healthy', 30)
  await scrubIsClean()
  await everyFileIsRight(lab())
  return `longest wait ${(worstMs / 1000).toFixed(1)} s, no error, not parked; every block of fio and ${files} files right, scrub clean`
})

drill(2, lab, async () => {
  const before = await journal(lab())
  const server = lab().server('fsn')
  const { files, worstMs } = await writeDuring(lab(), async () => {
    // Nothing may start it again for 10 s: neither systemd nor the monitor.
    await server.run('mv /usr/bin/nbd-server /usr/bin/nbd-server.away && pkill -KILL -x nbd-server')
    await lab().client.run('sleep 10')
    await server.run('mv /usr/bin/nbd-server.away /usr/bin/nbd-server')
    await backSince(before)
  })
  expect(await saidSince(lab(), before)).toMatch(/fsn: back after [\d.]+ s, nothing was missed/)
  expect((await status(lab())).verdict).toBe('healthy')
  await scrubIsClean()
  await everyFileIsRight(lab())
  return `longest wait ${(worstMs / 1000).toFixed(1)} s, ${files} files written through it, scrub clean`
})

const backSince = async (before: string): Promise<void> => {
  for (let waited = 0; waited < 60; waited++) {
    if (/back after/.test(await saidSince(lab(), before))) return
    await lab().client.run('sleep 1')
  }
  throw new Error(`not reconnected: ${await saidSince(lab(), before)}`)
}

drill(3, lab, async () => {
  const before = await journal(lab())
  const server = lab().server('gra')
  const { files, worstMs } = await writeDuring(lab(), async () => {
    await server.freeze()
    await verdictBecomes(lab(), 'degraded', 90)
    await lab().client.run('sleep 15')
  })
  expect(await saidSince(lab(), before)).toMatch(/gra: parked after 2\d\.\d s; going on without it/)
  // Noticed after 10 to 22 s (the kernel's request timeout can fire twice), then patience.
  expect(worstMs).toBeLessThan(60_000)
  const report = await status(lab())
  expect(report.why.join(' ')).toContain('gra does not answer')
  expect(report.next.join(' ')).toContain('gra')
  expect((await verb(lab(), ['status', 'photos', '--check'], 7)).stdout).toContain('DEGRADED')
  await server.thaw()
  await verdictBecomes(lab(), 'healthy', 180)
  const mended = /resilvered: (\d+) blocks mended; every copy is right/.exec(
    await saidSince(lab(), before),
  )?.[1]
  expect(Number(mended)).toBeGreaterThan(0)
  await everyFileIsRight(lab())
  return `${files} files written without an error, longest wait ${(worstMs / 1000).toFixed(1)} s; ${mended} blocks mended when it was back`
})

drill(28, lab, async () => {
  const before = await journal(lab())
  const copied = await copyPhotos(lab(), 'before')
  const { files, worstMs } = await writeDuring(lab(), () => lab().server('gra').reboot())
  await verdictBecomes(lab(), 'healthy', 240)
  const said = await saidSince(lab(), before)
  expect(said).toMatch(/gra: (its server has forgotten the session: it was rebooted|parked)/)
  expect(said).toMatch(/resilvered: \d+ blocks mended; every copy is right/)
  await everyFileIsRight(lab())
  return `${files} files written through it, longest wait ${(worstMs / 1000).toFixed(1)} s, ${copied} photos and all of them right`
})

describe('around the drills', () => {
  test('a monitor that is killed is started again and adopts what stands', async () => {
    const before = await journal(lab())
    await lab().client.run("kill -9 $(pgrep -f '^/host.*cloudvault.js monitor')")
    await writeDuring(lab(), async () => {
      await lab().server('fsn').run('pkill -KILL -x nbd-server')
      await backSince(before)
    })
    await verdictBecomes(lab(), 'healthy', 120)
    expect(await saidSince(lab(), before)).toContain('watching fsn, gra')
  })

  test('down with one provider silent: it ends, says who lacks what, and the next up mends it', async () => {
    await lab().client.run('echo before > /vault/photos/note && sync')
    await lab().server('gra').freeze()
    await lab().client.run('echo after > /vault/photos/note && sync', { deadlineMs: 200_000 })
    await verdictBecomes(lab(), 'degraded', 90)
    const began = Date.now()
    const down = await verb(lab(), ['down', 'photos'], 7)
    console.log(`down with a silent provider: ${Date.now() - began} ms\n${down.stdout}`)
    expect(down.stdout).toContain('gra did not answer')
    expect(await leftOnClient(lab())).toEqual([])
    await lab().server('gra').thaw()
    await verb(lab(), ['up', 'photos'])
    await verdictBecomes(lab(), 'healthy', 180)
    expect((await lab().client.run('cat /vault/photos/note')).stdout).toBe('after\n')
  })

  test('each provider alone then has every file, and nothing is left', async () => {
    await verb(lab(), ['down', 'photos'])
    for (const on of ['gra', 'fsn']) await rightAlone(lab(), on)
    await nothingLeft(lab())
  })
})
