import { describe, expect, test } from 'vitest'
import type { Lab } from '../../lab/index.ts'
import { labProfile, leftOnClient, useLab, verb } from './support.ts'

/** A provider falls silent for longer than patience while somebody works, and comes back. */
const lab = useLab({ servers: 2 })

const status = async () => JSON.parse((await verb(lab(), ['status', 'photos', '--json'])).stdout)

/** Asks until the verdict is the wanted one. */
const verdictBecomes = async (wanted: string, seconds: number): Promise<void> => {
  let last = ''
  for (let waited = 0; waited < seconds; waited += 3) {
    last = (await status()).verdict
    if (last === wanted) return
    await new Promise((resolve) => setTimeout(resolve, 3000))
  }
  throw new Error(`the verdict is ${last} after ${seconds} s, not ${wanted}: ${await journal(lab())}`)
}

const journal = async (on: Lab): Promise<string> =>
  (await on.client.run('cat /run/cloudvault/photos/cv-photos-monitor.pid.log', { allowFail: true })).stdout

/** Writes numbered files with fsync until told to stop; prints how many, and the longest wait in ms. */
const writer = `i=0; worst=0; rm -f /tmp/enough /tmp/sums
while [ ! -e /tmp/enough ] && [ $i -lt 5000 ]; do
  i=$((i+1)); a=$(date +%s%N)
  dd if=/dev/urandom of=/vault/photos/f-$i bs=8k count=1 conv=fsync status=none || { echo "error at $i"; exit 1; }
  b=$(( ($(date +%s%N) - a) / 1000000 )); [ $b -gt $worst ] && worst=$b
  sha256sum /vault/photos/f-$i >> /tmp/sums
done; echo "$i $worst"`

const writeDuring = async (outage: () => Promise<void>): Promise<{ files: number; worstMs: number }> => {
  const running = lab().client.start(writer)
  await lab().client.run('sleep 2')
  await outage()
  await lab().client.run('touch /tmp/enough')
  const ended = await running.wait()
  expect(`${ended.code} ${ended.stderr}`).toBe('0 ')
  const [files = 0, worstMs = 0] = ended.stdout.trim().split(' ').map(Number)
  return { files, worstMs }
}

describe('a provider that falls silent for longer than patience', () => {
  test('a vault with a patience of 12 s', async () => {
    await labProfile(lab(), { changes: [['patience: 30s', 'patience: 12s']] })
    await verb(lab(), ['provision', 'photos'])
    await verb(lab(), ['create', 'photos', '--confirm', 'photos'])
    await verb(lab(), ['up', 'photos'])
  })

  test('frozen: it is parked, the writer goes on without an error, and status says so', async () => {
    const { files, worstMs } = await writeDuring(async () => {
      await lab().server('gra').freeze()
      await verdictBecomes('degraded', 90)
      await lab().client.run('sleep 20')
    })
    console.log(`frozen: ${files} files, longest wait ${worstMs} ms`)
    expect(await journal(lab())).toContain('gra: parked after 12 s of silence; going on without it')
    // Noticed after 10 to 22 s (the kernel's request timeout can fire twice), then patience.
    expect(worstMs).toBeLessThan(50_000)
    const report = await status()
    expect(report.verdict).toBe('degraded')
    expect(report.next.join(' ')).toContain('gra')
  })

  test('thawed: it comes back without an unmount and is resilvered', async () => {
    await lab().server('gra').thaw()
    await verdictBecomes('healthy', 180)
    expect(await journal(lab())).toMatch(/resilvered: \d+ blocks mended; every copy is right/)
    await lab().client.run('cd /vault/photos && sha256sum -c --quiet /tmp/sums')
  })

  test('killed and kept away: the same', async () => {
    const unit = 'cv-photos-fsn.service'
    await writeDuring(async () => {
      await lab().server('fsn').run(`systemctl stop ${unit}`)
      await verdictBecomes('degraded', 90)
      await lab().client.run('sleep 5')
    })
    await lab().server('fsn').run(`systemctl start ${unit}`)
    await verdictBecomes('healthy', 180)
  })

  test('rebooted under the writer: parked, its session taken anew, resilvered', async () => {
    await writeDuring(async () => {
      await lab().server('gra').reboot()
      await verdictBecomes('degraded', 90)
      await lab().client.run('sleep 3')
    })
    await verdictBecomes('healthy', 180)
    await lab().client.run('cd /vault/photos && sha256sum -c --quiet /tmp/sums')
  })

  test('a monitor that is killed is started again and adopts what stands', async () => {
    await lab().client.run("kill -9 $(pgrep -f '^/host.*cloudvault.js monitor')")
    await writeDuring(async () => {
      await lab().server('fsn').run('systemctl kill --signal=KILL cv-photos-fsn.service')
      await lab().client.run('sleep 8')
    })
    expect((await status()).verdict).toBe('healthy')
    expect((await journal(lab())).match(/watching fsn, gra/g)?.length).toBeGreaterThan(1)
  })

  test('each provider alone then has every file', async () => {
    await verb(lab(), ['down', 'photos'])
    for (const [off, on] of [
      ['fsn', 'gra'],
      ['gra', 'fsn'],
    ] as const) {
      await lab().server(off).kill()
      const up = await verb(lab(), ['up', 'photos', '--degraded=ro'])
      expect(up.stdout).toContain(on)
      await lab().client.run('cd /vault/photos && sha256sum -c --quiet /tmp/sums')
      await verb(lab(), ['down', 'photos'])
      await lab().server(off).start()
    }
  })

  test('down with one provider silent: it ends, says who lacks what, and the next up mends it', async () => {
    await verb(lab(), ['up', 'photos'])
    await lab().client.run('echo before > /vault/photos/note && sync')
    await lab().server('gra').freeze()
    await lab().client.run('echo after > /vault/photos/note && sync', { deadlineMs: 200_000 })
    await verdictBecomes('degraded', 90)
    const began = Date.now()
    const down = await lab().client.cloudvault(['down', 'photos'])
    console.log(`down with a silent provider: ${Date.now() - began} ms\n${down.stdout}`)
    expect(down.stdout).toContain('gra did not answer')
    expect(await leftOnClient(lab())).toEqual([])
    await lab().server('gra').thaw()
    await verb(lab(), ['up', 'photos'])
    await verdictBecomes('healthy', 180)
    expect((await lab().client.run('cat /vault/photos/note')).stdout).toBe('after\n')
    await verb(lab(), ['down', 'photos'])
  })
})
