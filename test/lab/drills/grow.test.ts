import { afterAll, beforeAll, expect } from 'vitest'
import { anySeed, buildLoops, everyKind, judged, loop, loopMinutes } from '../loops.ts'
import { labProfile, nothingLeft, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'
import { everyFileIsRight, rightAlone, status } from './work.ts'

/** A machine that dies while its vault grows: killed programs, a power cut, and what is said in between. */
const lab = useLab({ servers: 2 })

/** Several chunks, and over a line of 2 MB/s long enough to be killed in the middle. */
const mebibytes = 160

const patience = (loopMinutes + 30) * 60_000

beforeAll(async () => {
  await labProfile(lab())
  const both = await lab().client.readFile('/etc/cloudvault/photos.yaml')
  const alone = both.slice(0, both.indexOf('\n  - name: gra')).replace('mirror: raid1 ', 'mirror: single ')
  await lab().client.putFile('/etc/cloudvault/photos.yaml', `${alone}\n`, 0o600)
  await verb(lab(), ['provision', 'photos'])
  await verb(lab(), ['create', 'photos', '--confirm', 'photos'])
  await verb(lab(), ['up', 'photos'])
  await buildLoops()
}, 600_000)

afterAll(async () => {
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
})

interface Growing {
  readonly verdict: string
  readonly job?: { readonly phase: string; readonly progress?: { readonly share: number } }
}

/** Waits until the change is so far, and says how far it is; a change that is not told, or told as healthy, is a fault. */
const grownBy = async (share: number, seconds: number): Promise<number> => {
  let last: Growing = { verdict: 'nothing was said' }
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    last = (await status(lab())) as unknown as Growing
    if (last.job?.phase === 'move' && last.verdict === 'healthy') break
    const now = last.job?.progress?.share ?? 0
    if (now >= share && now < 1) return now
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
  throw new Error(`not seen to be at ${share}: ${JSON.stringify(last)}`)
}

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
    const first = await grownBy(0.05, 300)
    // The verb, the monitor, and the btrfs that the kernel works for; not the shells around them.
    await client.run(`for p in /proc/[0-9]*; do
    case "$(cat $p/comm 2>/dev/null)" in node*|btrfs) ;; *) continue;; esac
    grep -aqE 'cloudvault.js.(add-mirror|monitor)|btrfs.balance' $p/cmdline 2>/dev/null && kill -9 \${p#/proc/}; done; true`)
    await growing.wait()
    const second = await grownBy(Math.min(0.9, first + 0.05), 300)
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
