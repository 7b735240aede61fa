import { beforeAll, expect } from 'vitest'
import type { LabServer } from '../../../lab/index.ts'
import { nothingLeft, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'
import { behave, makeHostile } from './hostile.ts'
import { fillSolo, readSolo, soloGone, soloUp } from './solo.ts'
import { everyFileIsRight, journal, status, vaultUp, verdictBecomes, writeDuring } from './work.ts'

/** Providers whose disks fail, fill up or change, and one that talks nonsense. gra is the one that does it. */
const lab = useLab({ servers: 2 })
const gra = () => lab().server('gra')

beforeAll(async () => {
  await makeHostile(lab(), gra())
  await vaultUp(lab(), { changes: [['patience: 30s', 'patience: 12s']] })
  await lab().client.run('touch /tmp/sums')
})

/** An honest server, and a vault that is up and whole. */
const asEver = async (): Promise<void> => {
  behave(gra(), {})
  await verb(lab(), ['up', 'photos'])
  await verdictBecomes(lab(), 'healthy', 200)
}

const errorsOfGra = async () => {
  const errors = (await status(lab())).members.find((member) => member.name === 'gra')?.errors
  return { read: 0, write: 0, corruption: 0, ...errors }
}

/** Reads all files from the servers, until the kernel has asked gra too: which mirror it asks depends on the process. */
const readUntil = async (
  seen: (errors: Awaited<ReturnType<typeof errorsOfGra>>) => boolean,
): Promise<number> => {
  for (let round = 0; round < 12; round++) {
    const files = await everyFileIsRight(lab())
    if (seen(await errorsOfGra())) return files
  }
  throw new Error('nothing was ever counted on gra')
}

/** So many incompressible files of so many KiB, noted with the others. */
const photos = (folder: string, files: number, kib: number): Promise<unknown> =>
  lab().client.run(
    `mkdir -p /vault/photos/${folder} && cd /vault/photos/${folder} && for i in $(seq ${files}); do
       dd if=/dev/urandom of=$i bs=1k count=${kib} status=none; done; sync -f . && sha256sum "$PWD"/* >> /tmp/sums`,
  )

/** Flips one bit in every nth block of a disk, from `from` to `to` MiB. */
const flipBits = (
  server: LabServer,
  disk: string,
  from: number,
  to: number,
  stepKiB: number,
): Promise<unknown> =>
  server.run([
    'perl',
    '-e',
    `open(my $f, '+<', $ARGV[0]) or die; my $n = 0;
     for (my $at = $ARGV[1] << 20; $at < $ARGV[2] << 20; $at += $ARGV[3] << 10) {
       sysseek($f, $at, 0); sysread($f, my $byte, 1); sysseek($f, $at, 0); syswrite($f, chr(ord($byte) ^ 4)); $n++
     } print $n`,
    ...[disk, `${from}`, `${to}`, `${stepKiB}`],
  ])

drill(21, lab, async () => {
  await asEver()
  await photos('thumbnails', 500, 16)
  behave(gra(), { readErrors: 0.01 })
  const files = await everyFileIsRight(lab())
  // The kernel counts no error of a read ahead; a program that reads past the cache meets them as they are.
  const direct =
    'echo 3 > /proc/sys/vm/drop_caches; find /vault/photos -type f -size +8k -exec dd if={} of=/dev/null bs=16k iflag=direct status=none \\;'
  await expect
    .poll(
      async () => {
        const read = await lab().client.run(direct, { deadlineMs: 300_000 })
        expect(read.stderr).toBe('')
        return (await errorsOfGra()).read
      },
      { timeout: 300_000, interval: 100 },
    )
    .toBeGreaterThan(0)
  const { read } = await errorsOfGra()
  const told = await lab().client.cloudvault(['status', 'photos', '--check'])
  // 7 when the look itself met one of the errors.
  expect([7, 8]).toContain(told.code)
  expect((await status(lab())).why.join()).toContain('gra')
  behave(gra(), {})
  await verb(lab(), ['resilver', 'photos'])
  await asEver()
  return `${files} files read right, ${read} read errors counted on that provider, status --check exits ${told.code}`
})

drill(22, lab, async () => {
  await asEver()
  const { files, worstMs } = await writeDuring(lab(), async () => {
    behave(gra(), { writeErrors: 'ENOSPC' })
    await verdictBecomes(lab(), 'stale', 120)
    await lab().client.run('sleep 10')
  })
  const told = await verb(lab(), ['status', 'photos', '--check'], 8)
  expect(told.stdout).toMatch(/gra \(ovh\): writes refused \d+ \(a full or failing disk does that\)/)
  expect(told.stdout).toContain('cloudvault resilver photos')
  const { write } = await errorsOfGra()
  await everyFileIsRight(lab())
  await expect
    .poll(() => journal(lab()), { timeout: 60_000, interval: 3000 })
    .toMatch(/gra: refuses writes \(\d+ so far\); its disk may be full; going on without it/)
  // There is room again: the next commit shows it, and the copy is made equal without anybody's help.
  behave(gra(), {})
  await lab().client.run('echo room > /vault/photos/note && sync -f /vault/photos')
  await verdictBecomes(lab(), 'healthy', 240)
  expect(await journal(lab())).toContain('gra: takes writes again')
  const again = JSON.parse((await verb(lab(), ['scrub', 'photos', '--json'])).stdout)
  expect(again).toMatchObject({ corrected: 0, uncorrectable: 0 })
  return `${files} files written on the other one meanwhile, longest wait ${worstMs} ms; ${write} refused writes counted, gra (ovh) named; mended by itself when there was room`
})

drill(23, lab, async () => {
  await asEver()
  await photos('film', 64, 1024)
  await flipBits(gra(), '/srv/cloudvault/photos.img', 20, 200, 64)
  const files = await readUntil((errors) => errors.corruption > 0)
  const { corruption } = await errorsOfGra()
  await verb(lab(), ['status', 'photos', '--check'], 8)
  const scrubbed = await verb(lab(), ['scrub', 'photos'])
  expect(scrubbed.stdout).toContain('every copy is right now')
  await verdictBecomes(lab(), 'healthy', 30)
  const again = JSON.parse((await verb(lab(), ['scrub', 'photos', '--json'])).stdout)
  expect(again).toMatchObject({ corrected: 0, uncorrectable: 0, damaged: [] })
  await everyFileIsRight(lab())
  return `${files} files read right, ${corruption} wrong blocks counted while reading; ${/(\d+) blocks were mended/.exec(scrubbed.stdout)?.[1]} more mended by scrub`
})

drill(24, lab, async () => {
  const files = await soloUp(lab(), lab().server('fsn'))
  await fillSolo(lab())
  await lab().client.run('sync -f /vault/solo')
  await flipBits(lab().server('fsn'), '/srv/cloudvault/solo.img', 20, 250, 5000)
  const met = await readSolo(lab())
  expect(met.wrong).toBe(0)
  expect(met.damaged.length).toBeGreaterThan(0)
  expect(met.right + met.damaged.length).toBe(files)
  const scrubbed = await verb(lab(), ['scrub', 'solo', '--json'], 8)
  expect(JSON.parse(scrubbed.stdout).damaged.sort()).toEqual(met.damaged)
  const words = await verb(lab(), ['scrub', 'solo'], 8)
  for (const path of met.damaged) expect(words.stdout).toContain(`  ${path}\n`)
  const told = await verb(lab(), ['status', 'solo', '--check'], 8)
  expect(told.stdout).toContain('cloudvault scrub solo')
  // What the words advise: bring them back, scrub again.
  for (const path of met.damaged) await lab().client.run(['rm', path])
  await fillSolo(lab())
  await verb(lab(), ['scrub', 'solo'])
  await verb(lab(), ['status', 'solo', '--check'])
  expect(await readSolo(lab())).toEqual({ right: files, wrong: 0, damaged: [] })
  await soloGone(lab())
  return `${met.damaged.length} of ${files} files hit: EIO, exit 8 and listed by name; no wrong block was served`
})

drill(25, lab, async () => {
  await asEver()
  const seen: string[] = []
  for (const replies of ['magic', 'twice', 'stranger', 'half'] as const) {
    await verdictBecomes(lab(), 'healthy', 240)
    const { files, worstMs } = await writeDuring(lab(), async () => {
      behave(gra(), { replies })
      await verdictBecomes(lab(), 'degraded', 120)
      await lab().client.run('sleep 8')
    })
    seen.push(`${replies} ${files} files, longest wait ${worstMs} ms`)
    expect(worstMs).toBeLessThan(60_000)
    behave(gra(), {})
  }
  await verdictBecomes(lab(), 'healthy', 240)
  expect((await journal(lab())).match(/gra: parked after [\d.]+ s; going on/g)).toHaveLength(4)
  await everyFileIsRight(lab())
  await verb(lab(), ['down', 'photos'])
  for (const behaviour of [{ greeting: 'magic' }, { replies: 'magic' }] as const) {
    behave(gra(), behaviour)
    const refused = await verb(lab(), ['up', 'photos'], 5)
    expect(refused.stderr).toContain('gra')
    await nothingLeft(lab())
  }
  await asEver()
  return seen.join('; ')
})
