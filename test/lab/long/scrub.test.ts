import { expect, test } from 'vitest'
import { everyFileIsRight, status, vaultUp, verdictBecomes } from '../drills/work.ts'
import { nothingLeft, useLab, verb } from '../support.ts'

/**
 * A scrub that people can work beside: limited, told to go faster while it runs, followed by a second one, remembered
 * with the provider that held what was wrong. And the watch over it all.
 */
const lab = useLab({ servers: 2 })

/** A machine that does other things as well. */
const patience = 900_000

/** The kernel's limit for each member, bytes per second. */
const limits = async (): Promise<string> =>
  (await lab().client.run('cat /sys/fs/btrfs/*/devinfo/*/scrub_speed_max | tr "\\n" " "')).stdout.trim()

const scrubIs = async (wanted: string): Promise<void> => {
  const seen = async () => (await status(lab())).scrub?.state
  await expect.poll(seen, { timeout: 120_000, interval: 500 }).toBe(wanted)
}

test(
  'limited, seen by status, made faster by a second one, which follows it to its end',
  async () => {
    await vaultUp(lab())
    await lab().client.run(
      'cd /vault/photos && dd if=/dev/urandom of=film bs=1M count=96 status=none && sync -f . && sha256sum "$PWD"/film >> /tmp/sums',
      { deadlineMs: 300_000 },
    )
    const { client } = lab()
    const slow = client.start(client.cloudvaultArgv(['scrub', 'photos', '--limit', '1MiB/s', '--json']))
    await expect.poll(limits, { timeout: 120_000 }).toBe('1048576 1048576')
    await scrubIs('running')
    const followed = await verb(lab(), ['scrub', 'photos', '--limit', 'off', '--json'])
    const first = await slow.wait()
    expect(`${first.code} ${first.stderr}`).toBe('0 ')
    const { members, bytes } = JSON.parse(first.stdout)
    expect(JSON.parse(followed.stdout)).toMatchObject({ followed: true, members, bytes, uncorrectable: 0 })
    // At one mebibyte a second it would have taken longer.
    const { results } = JSON.parse((await verb(lab(), ['scrub', 'photos', '--history', '--json'])).stdout)
    expect(results[0].durationMs).toBeLessThan(90_000)
    expect(await limits()).toBe('0 0')
    expect((await lab().client.run('ls /run/cloudvault/photos')).stdout).not.toContain('scrub.json')
  },
  patience,
)

test(
  'killed, a limit does not outlive the next one',
  async () => {
    const { client } = lab()
    const slow = client.start(client.cloudvaultArgv(['scrub', 'photos', '--limit', '1MiB']))
    await expect.poll(limits, { timeout: 120_000 }).toBe('1048576 1048576')
    await client.run("pkill -9 -f '[c]loudvault.js scrub photos'")
    await slow.wait()
    expect(await limits()).toBe('1048576 1048576')
    await verb(lab(), ['scrub', 'photos'])
    expect(await limits()).toBe('0 0')
    await verb(lab(), ['scrub', 'photos', '--limit', '20'], 2)
  },
  patience,
)

test(
  'the history names the provider that held what was wrong',
  async () => {
    await lab().client.run('echo 3 > /proc/sys/vm/drop_caches')
    await lab()
      .server('gra')
      .run('dd if=/dev/urandom of=/srv/cloudvault/photos.img bs=1M seek=140 count=3 conv=notrunc status=none')
    const scrubbed = await verb(lab(), ['scrub', 'photos'])
    expect(scrubbed.stdout).toMatch(/gra \(ovh\) held \d+ wrong blocks/)
    expect(scrubbed.stdout).not.toContain('fsn (hetzner) held')
    const history = await verb(lab(), ['scrub', 'photos', '--history'])
    const [newest = '', ...older] = history.stdout.trim().split('\n')
    expect(newest).toMatch(/blocks mended; gra \(ovh\) held \d+ wrong blocks$/)
    expect(older.map((line) => /clean$/.test(line))).toEqual([true, true])
    expect((await status(lab())).scrub?.history).toHaveLength(3)
    await verdictBecomes(lab(), 'healthy', 60)
    await everyFileIsRight(lab())
  },
  patience,
)

test(
  'the watch tells what goes over each line, and ends by Ctrl-C with exit 0',
  async () => {
    const { client } = lab()
    const argv = client.cloudvaultArgv(['status', 'photos', '--watch', '--json'])
    const watching = client.start([
      'timeout',
      '--foreground',
      '--preserve-status',
      '--signal=INT',
      '20',
      ...argv,
    ])
    await client.run(
      'for i in $(seq 1 40); do dd if=/dev/urandom of=/vault/photos/w bs=256k count=1 conv=fsync status=none; sleep 0.3; done',
      {
        deadlineMs: 120_000,
      },
    )
    const ended = await watching.wait()
    expect(ended.code).toBe(0)
    const reports = ended.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(reports.length).toBeGreaterThan(2)
    const written = reports.flatMap((report) =>
      report.members.map((m: { io?: { writeBytesPerS: number } }) => m.io?.writeBytesPerS ?? 0),
    )
    expect(Math.max(...written)).toBeGreaterThan(100_000)
    await verb(lab(), ['down', 'photos'])
    await nothingLeft(lab())
  },
  patience,
)
