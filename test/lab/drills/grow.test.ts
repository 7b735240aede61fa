import { afterAll, beforeAll, expect } from 'vitest'
import { anySeed, buildLoops, everyKind, judged, loop, loopMinutes } from '../loops.ts'
import { nothingLeft, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'
import { aloneUp, everyFileIsRight, killMovers, movedTo, rightAlone, status } from './work.ts'

/** A machine that dies while its vault grows: killed programs, a power cut, and what is said in between. */
const lab = useLab({ servers: 2 })

/** Several chunks, and over a line of 2 MB/s long enough to be killed in the middle. */
const mebibytes = 160

const patience = (loopMinutes + 30) * 60_000

beforeAll(async () => {
  await aloneUp(lab())
  await buildLoops()
}, 600_000)

afterAll(async () => {
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
})

drill(
  32,
  lab,
  async () => {
    const { client } = lab()
    const gra = lab().server('gra')
    await client.run(
      `for i in 1 2 3 4; do head -c ${mebibytes / 4}M /dev/urandom > /vault/photos/big-$i; done; sync -f /vault/photos
     sha256sum /vault/photos/big-* > /root/sums; cp /root/sums /tmp/sums; sync`,
      { deadlineMs: 300_000 },
    )
    await gra.shape({ mbit: 16 })
    const growing = client.start(
      client.cloudvaultArgv([
        ...['add-mirror', 'photos', '--member', 'name=gra,ssh=vps-gra,provider=ovh', '--yes'],
        ...['--accept-host-key', `gra=${gra.hostKeyFingerprint}`],
      ]),
    )
    const first = await movedTo(lab(), 0.05, 300)
    // The verb, the monitor, and the btrfs that the kernel works for.
    await killMovers(lab(), '|btrfs balance')
    await growing.wait()
    const second = await movedTo(lab(), Math.min(0.9, first + 0.05), 300)
    await client.kill()
    await client.boot()
    await client.run('cp /root/sums /tmp/sums')
    await verb(lab(), ['up', 'photos'])
    await gra.shape(null)
    const resumed = await client.cloudvault(['resume', 'photos'], { deadlineMs: 600_000 })
    // The monitor goes on by itself, and may be done before anybody asks.
    expect([0, 7], resumed.stderr).toContain(resumed.code)
    expect((await status(lab())).verdict).toBe('healthy')
    await everyFileIsRight(lab())
    await verb(lab(), ['down', 'photos'])
    const files = await rightAlone(lab(), 'gra')
    const newcomer = `name=gra,ssh=vps-gra,provider=ovh,size=512MiB,host-key=${gra.hostKeyFingerprint}`
    await verb(lab(), ['up', 'photos'])
    await client.run('rm /vault/photos/big-*') // each round of the loops moves what there is
    const looped = await loop(lab(), everyKind('remove', 'add'), {
      minutes: loopMinutes,
      seed: anySeed(),
      newcomer,
    })
    const percent = (share: number): string => `${Math.round(share * 100)} %`
    return `killed at ${percent(first)}, power cut at ${percent(second)}, never called healthy; done after the next up; ${files} files right on gra alone; ${judged(looped, ['remove', 'add'])}`
  },
  patience,
)
