/**
 * The attach layer on a real kernel: devices connected, given new sockets and disconnected from Node in the guest,
 * against nbd-server on a lab server and nbdkit beside it, with fio checking every block through the faults.
 */
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { build } from 'esbuild'
import { beforeAll, describe, expect, test } from 'vitest'
import { bundling } from '../../scripts/bundling.mjs'
import { useLab } from './support.ts'

const lab = useLab({ servers: 1 })
const driver = 'out/attach-driver.mjs'
const port = 10_810
/** MiB of the export. */
const size = 64
const bytes = size << 20

/** Runs one verb of the driver in the guest; its one JSON line. */
async function attach(...words: (string | number)[]): Promise<Record<string, unknown>> {
  const { stdout } = await lab().client.run(driverArgv(words))
  return JSON.parse(stdout) as Record<string, unknown>
}

function driverArgv(words: readonly (string | number)[]): string[] {
  const [node = 'node'] = lab().client.cloudvaultArgv([])
  return [node, path.join(lab().client.repository, driver), ...words.map(String)]
}

const server = () => lab().servers[0] as NonNullable<ReturnType<typeof lab>['servers'][0]>
const where = () => `tcp:${server().address}:${port}`

async function serve(): Promise<void> {
  await server().run('nbd-server -C /srv/attach.conf -p /run/attach.pid')
  await server().run(`i=0; until ss -ltn | grep -q :${port}; do i=$((i+1)); [ $i -lt 100 ]; sleep 0.1; done`)
}

/** Every process of it: the children that hold the connections, too. The container's, never the host's. */
const killServer = () =>
  server().run(
    'for p in $(pgrep -f "nbd-server -C /srv/attach.conf"); do [ $p = $$ ] || kill -9 $p || true; done',
  )

/** A listener in the guest that is ready to hear; `heard` ends with the first alarm or after the seconds. */
async function listener(seconds: number): Promise<{ heard: () => Promise<unknown> }> {
  const running = lab().client.start(driverArgv(['listen', seconds]))
  for (let tries = 0; !running.output().stderr.includes('listening'); tries++) {
    if (tries > 300) throw new Error(`no listener: ${running.output().stderr}`)
    await sleep(100)
  }
  return { heard: async () => JSON.parse((await running.wait()).stdout) as unknown }
}

/** RECONFIGURE until the kernel takes the socket: it does so only when it knows the old one is dead. */
async function reattach(index: number, target: string, name: string, backend: string): Promise<void> {
  let answer: Record<string, unknown> = {}
  for (let tries = 0; tries < 30; tries++) {
    answer = await attach('reconfigure', index, target, name, backend)
    if (answer.done === 'reconfigure') return
    expect(answer.exit).toBe(6)
    await sleep(1_000)
  }
  throw new Error(`never taken: ${JSON.stringify(answer)}`)
}

const read = (index: number, block: number, deadlineSeconds = 60) =>
  lab().client.run(`dd if=/dev/nbd${index} of=/dev/null bs=4096 count=1 skip=${block} iflag=direct`, {
    allowFail: true,
    deadlineMs: deadlineSeconds * 1000,
  })

beforeAll(async () => {
  await build({
    entryPoints: ['test/lab/drivers/attach.ts'],
    ...bundling,
    outfile: driver,
  })
  await server().run('apt-get update -q && apt-get install -y -q nbd-server', { deadlineMs: 200_000 })
  await server().run(`truncate -s ${size}M /srv/attach.img /srv/plain.img && cat > /srv/attach.conf`, {
    input: [
      '[generic]',
      `port = ${port}`,
      '[abc]',
      'exportname = /srv/attach.img',
      'flush = true',
      'fua = true',
      'trim = true',
      '[noflush]',
      'exportname = /srv/plain.img',
      '',
    ].join('\n'),
  })
  await serve()
})

test('without the module the words say what to load (exit 3)', async () => {
  const missing = { exit: 3, fault: 'the kernel module nbd is not loaded', next: 'modprobe nbd max_part=0' }
  expect(await attach('connect', 0, where(), 'abc', 'cv-lab-a')).toMatchObject(missing)
  expect(await attach('free')).toMatchObject(missing)
  await lab().client.run('modprobe nbd nbds_max=4 max_part=0')
  expect(await attach('free')).toEqual({ index: 0 })
})

describe('connect', () => {
  test('only root may', async () => {
    // Nobody at all, but for reading: the checkout may be in /root, which is root's alone.
    const reading = ['--inh-caps=-all,+dac_read_search', '--ambient-caps=-all,+dac_read_search']
    const { stdout } = await lab().client.run([
      ...['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', ...reading],
      ...driverArgv(['connect', 0, where(), 'abc', 'cv-lab-a']),
    ])
    expect(JSON.parse(stdout)).toMatchObject({ exit: 3, fault: expect.stringMatching(/needs root/) })
  })

  test('an export that never flushes stays away from the kernel', async () => {
    expect(await attach('connect', 0, where(), 'noflush', 'cv-lab-a')).toEqual({
      differs: expect.stringMatching(/no flush.*no FUA/),
    })
    expect(await attach('state', 0)).toMatchObject({ connected: false })
  })

  test('an unknown export is named', async () => {
    expect(await attach('connect', 0, where(), 'old', 'cv-lab-a')).toMatchObject({ exit: 4 })
  })

  test('makes a disk of the offered size that sends flushes and carries our identifier', async () => {
    expect(await attach('connect', 0, where(), 'abc', 'cv-lab-a')).toEqual({ done: 'connect' })
    expect(await attach('state', 0)).toEqual({
      exists: true,
      connected: true,
      backend: 'cv-lab-a',
      sizeBytes: bytes,
      readOnly: false,
      writeCache: 'write back',
      holders: [],
    })
    expect(await attach('find', 'cv-lab-a')).toEqual({ index: 0 })
    expect(await attach('find', 'cv-lab-b')).toEqual({ index: null })
    expect(await attach('status', 0)).toEqual({ connected: true })
    expect(await attach('free')).toEqual({ index: 1 })
    const { stdout } = await lab().client.run('blockdev --getsize64 --getpbsz --getbsz /dev/nbd0')
    expect(stdout.split('\n').slice(0, 2)).toEqual([String(bytes), '4096'])
  })

  test('what is written there is on the server', async () => {
    await lab().client.run(
      'yes cloudvault-canary | dd of=/dev/nbd0 bs=4096 count=16 seek=100 oflag=direct iflag=fullblock conv=fsync',
    )
    const { stdout } = await server().run(
      'dd if=/srv/attach.img bs=4096 skip=100 count=16 2>/dev/null | grep -c cloudvault-canary',
    )
    expect(Number(stdout)).toBeGreaterThan(3_000)
  })

  test('an index in use is refused (exit 6)', async () => {
    expect(await attach('connect', 0, where(), 'abc', 'cv-lab-b')).toMatchObject({
      exit: 6,
      fault: '/dev/nbd0 is already in use',
    })
    expect(await attach('state', 0)).toMatchObject({ backend: 'cv-lab-a' })
  })
})

describe('reconfigure', () => {
  test('takes no socket while the old one lives, and says so (exit 6)', async () => {
    expect(await attach('reconfigure', 0, where(), 'abc', 'cv-lab-a')).toMatchObject({
      exit: 6,
      stands: 'the new connection was not taken',
    })
  })

  test("never touches another's device (exit 5), nor one that is not connected", async () => {
    expect(await attach('reconfigure', 0, where(), 'abc', 'cv-lab-b')).toMatchObject({ exit: 5 })
    expect(await attach('reconfigure', 3, where(), 'abc', 'cv-lab-a')).toMatchObject({ exit: 7 })
  })

  test('the kernel itself refuses a wrong identifier', async () => {
    expect(await attach('reconfigure-unchecked', 0, where(), 'abc', 'cv-lab-b')).toEqual({
      refused: 'EINVAL',
    })
  })

  test('a killed server that comes back is a pause for the writer, nothing more', async () => {
    const alarm = await listener(90)
    const fio = lab().client.start(
      'fio --name=pause --filename=/dev/nbd0 --direct=1 --ioengine=psync --rw=randwrite --bs=4k --size=48M ' +
        '--fsync=32 --verify=crc32c --do_verify=1 --output-format=json',
    )
    await sleep(4_000)
    await killServer()
    expect(await alarm.heard()).toEqual({ heard: [0] })
    await sleep(5_000)
    expect(await attach('reconfigure', 0, where(), 'abc', 'cv-lab-a')).toMatchObject({
      exit: 4,
      fault: expect.stringMatching(/nothing listens/),
    })
    await serve()
    expect(await attach('reconfigure', 0, where(), 'abc', 'cv-lab-a')).toEqual({ done: 'reconfigure' })
    const { code, stdout } = await fio.wait()
    expect(code).toBe(0)
    const [job] = (JSON.parse(stdout) as { jobs: FioJob[] }).jobs
    expect(job?.error).toBe(0)
    expect(job?.write.io_bytes).toBe(48 << 20)
    expect(job?.read.io_bytes).toBe(48 << 20)
    // Some operation waited for the whole outage: the fault really hit the run.
    const longest = Math.max(job?.write.lat_ns.max ?? 0, job?.read.lat_ns.max ?? 0, job?.sync.lat_ns.max ?? 0)
    expect(longest / 1e9).toBeGreaterThan(5)
  })

  test('an idle device notices a cut cable by itself and comes back', async () => {
    const alarm = await listener(90)
    await server().cutLink()
    // TCP keepalive: 10 s of silence, then three probes 5 s apart.
    expect(await alarm.heard()).toEqual({ heard: [0] })
    await server().restoreLink()
    await reattach(0, where(), 'abc', 'cv-lab-a')
    expect((await read(0, 100)).code).toBe(0)
  })

  test('parked on a server that answers everything with EIO, nothing hangs; then the disk is back', async () => {
    const { client } = lab()
    await client.run(
      `nbdkit -U /run/park.sock -P /run/park.pid --filter=error null ${size}M error=EIO error-rate=1`,
    )
    await killServer()
    await sleep(500)
    const waiting = read(0, 200)
    await sleep(1_000)
    await reattach(0, '/run/park.sock', '', 'cv-lab-a')
    expect((await waiting).code).not.toBe(0)
    const began = Date.now()
    expect((await read(0, 201)).stderr).toMatch(/Input\/output error/)
    expect(Date.now() - began).toBeLessThan(5_000)
    await serve()
    await client.run('kill -9 $(cat /run/park.pid)')
    await reattach(0, where(), 'abc', 'cv-lab-a')
    expect((await read(0, 200)).code).toBe(0)
  })
})

describe('disconnect', () => {
  test('leaves a held device alone (exit 6)', async () => {
    await lab().client.run('modprobe dm-mod; echo 0 8192 linear /dev/nbd0 0 | dmsetup create cv-lab-hold')
    expect(await attach('disconnect', 0)).toMatchObject({ exit: 6, stands: 'it is still attached' })
    expect((await read(0, 100)).code).toBe(0)
    await lab().client.run('dmsetup remove --retry cv-lab-hold')
  })

  test('says when somebody keeps the device open (exit 6), and is done when that ends', async () => {
    await attach('connect', 5, where(), 'abc', 'cv-lab-open')
    const open = lab().client.start(['sh', '-c', 'exec 9</dev/nbd5; echo open; sleep 60'])
    for (let tries = 0; open.output().stdout !== 'open\n' && tries < 100; tries++) await sleep(100)
    expect(await attach('disconnect', 5)).toMatchObject({
      exit: 6,
      fault: expect.stringMatching(/something still has it open/),
    })
    expect(await attach('reconfigure', 5, where(), 'abc', 'cv-lab-open')).toMatchObject({ exit: 7 })
    await open.stop()
    await expect.poll(() => attach('state', 5), { timeout: 10_000 }).toMatchObject({ connected: false })
  })

  test('frees the device; twice is once', async () => {
    expect(await attach('disconnect', 0)).toEqual({ done: 'disconnect' })
    expect(await attach('disconnect', 0)).toEqual({ done: 'disconnect' })
    expect(await attach('state', 0)).toMatchObject({ connected: false, backend: null })
    expect(await attach('find', 'cv-lab-a')).toEqual({ index: null })
  })

  test('past the last device the kernel makes one', async () => {
    expect(await attach('connect', 7, where(), 'abc', 'cv-lab-h')).toEqual({ done: 'connect' })
    expect(await attach('find', 'cv-lab-h')).toEqual({ index: 7 })
    expect(await attach('disconnect', 7)).toEqual({ done: 'disconnect' })
  })
})

interface FioJob {
  readonly error: number
  readonly write: { readonly io_bytes: number; readonly lat_ns: { readonly max: number } }
  readonly read: { readonly io_bytes: number; readonly lat_ns: { readonly max: number } }
  readonly sync: { readonly lat_ns: { readonly max: number } }
}
