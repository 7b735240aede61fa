import { beforeAll, expect, test } from 'vitest'
import { leftOnClient, leftOnServer, nothingLeft, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'
import { everyFileIsRight, journal, status, vaultUp, verdictBecomes } from './work.ts'

/** What people do with a vault that is up: another machine, programs in the way, questions while nobody answers. */
const lab = useLab({ servers: 2, laptop: true })

beforeAll(() => vaultUp(lab(), { changes: [['patience: 30s', 'patience: 15s']] }), 600_000)

/** However the drill before this one ended. */
const standing = async (): Promise<void> => {
  if ((await status(lab())).verdict === 'down') await verb(lab(), ['up', 'photos'])
}

const timed = async (args: readonly string[]) => {
  const began = Date.now()
  const result = await lab().client.cloudvault(args)
  return { ...result, seconds: (Date.now() - began) / 1000 }
}

/** Files with fsync, their sums noted. */
const note = (name: string): Promise<unknown> =>
  lab().client.run(`for i in 1 2 3 4 5; do dd if=/dev/urandom of=/vault/photos/${name}-$i bs=64k count=1 conv=fsync status=none
    sha256sum /vault/photos/${name}-$i >> /tmp/sums; done`)

const laptop = () => {
  const machine = lab().laptop
  if (machine === undefined) throw new Error('this lab has no laptop')
  return machine
}

/** What the recovery kit would bring there: profile, keys, headers, record; not what this machine has set up. */
const handOver = async (): Promise<void> => {
  const state = '--exclude=receipt.json --exclude=lock var/lib/cloudvault/photos'
  const packed = await lab().client.run(`tar -C / -c ${state} etc/cloudvault root/photos.pass | base64 -w 0`)
  await laptop().run('base64 -d | tar -C / -x', { input: packed.stdout })
}

const there = async (args: readonly string[], code: number) => {
  const result = await laptop().cloudvault(args)
  expect(`${result.code} ${result.stderr}`).toMatch(new RegExp(`^${code} `))
  return result
}

const sumsThere = 'echo 3 > /proc/sys/vm/drop_caches; sha256sum -c --quiet /tmp/sums'

drill(33, lab, async () => {
  await standing()
  await note('mine')
  await handOver()
  const held = await there(['up', 'photos'], 6)
  expect(held.stderr).toMatch(/held by client\/[0-9a-f]{8}:photos since 20\d\d-\d\d-\d\dT[\d:]+Z/)
  expect(held.stderr).toContain('--take-over')
  expect((await laptop().run('grep /vault /proc/mounts; ls /dev/mapper | grep ^cv-; true')).stdout).toBe('')
  expect((await status(lab())).verdict).toBe('healthy')

  const before = await journal(lab())
  const writer = lab().client.start(`i=0; while [ $i -lt 5000 ]; do i=$((i+1)); f=/vault/photos/until-$i
    dd if=/dev/urandom of=$f bs=8k count=1 conv=fsync status=none || exit 1; sha256sum $f >> /tmp/sums; done`)
  await lab().client.run('sleep 5')
  await there(['up', 'photos', '--take-over'], 0)
  const stopped = await writer.wait()
  expect(stopped.code).toBe(1)
  expect(stopped.stderr).toMatch(/Input\/output error|Read-only file system/)
  // Everything that was acknowledged here before is there, and what is written there stays.
  await laptop().run('cat > /tmp/sums', { input: (await lab().client.run('cat /tmp/sums')).stdout })
  await laptop().run(sumsThere, { deadlineMs: 300_000 })
  await laptop().run(
    'for i in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=/vault/photos/theirs-$i bs=64k count=1 conv=fsync status=none; sha256sum /vault/photos/theirs-$i >> /tmp/sums; done',
  )
  await out(before)
  await there(['down', 'photos'], 0)

  // Given back, and nobody holds it now: this machine's monitor must not take it, its mount is older than the disks.
  await lab().client.run('sleep 15')
  for (const server of lab().servers) expect(await leftOnServer(server)).toEqual([])
  expect((await journal(lab())).slice(before.length)).not.toContain('back after')
  const down = await lab().client.cloudvault(['down', 'photos'])
  expect(`${down.code} ${down.stdout}`).toMatch(/^4 [\s\S]*nothing is proved/)
  expect(await leftOnClient(lab())).toEqual([])

  await verb(lab(), ['up', 'photos'])
  await verdictBecomes(lab(), 'healthy', 180)
  await lab().client.run('cat > /tmp/sums', { input: (await laptop().run('cat /tmp/sums')).stdout })
  const files = await everyFileIsRight(lab())
  const scrubbed = JSON.parse((await verb(lab(), ['scrub', 'photos', '--json'])).stdout)
  expect(scrubbed).toMatchObject({ corrected: 0, uncorrectable: 0 })
  return `exit 6 with holder and time; after --take-over the first one got its error, did not come back by itself, and all ${files} files of both are right, scrub clean`
})

/** The monitor has said of both that another machine has them. */
const out = async (before: string): Promise<void> => {
  const both = ['fsn', 'gra'].map((name) => `${name}: it will not be written from here any more`)
  for (let waited = 0; waited < 120; waited += 2) {
    const said = (await journal(lab())).slice(before.length)
    if (both.every((words) => said.includes(words))) {
      expect(said).toMatch(/the session is held by laptop\/[0-9a-f]{8}:photos since/)
      return
    }
    await lab().client.run('sleep 2')
  }
  throw new Error(`not fenced out: ${await journal(lab())}`)
}

drill(34, lab, async () => {
  await standing()
  await note('busy')
  const { client } = lab()
  const shell = client.start('cd /vault/photos && exec sleep 600')
  // Deaf to SIGTERM, with a file open that it writes to.
  const stubborn = client.start(
    `cd / && trap '' TERM && exec 7>>/vault/photos/log && while sleep 1; do echo x >&7; done`,
  )
  await client.run('until [ -s /vault/photos/log ]; do sleep 1; done')
  const refused = await verb(lab(), ['down', 'photos'], 6)
  expect(refused.stderr).toMatch(/pid \d+ sleep: cwd \/vault\/photos/)
  expect(refused.stderr).toMatch(/pid \d+ sh: file \/vault\/photos\/log/)
  expect(refused.stderr).toContain('the vault is mounted, untouched')
  expect((await status(lab())).verdict).toBe('healthy')
  await client.run('echo still > /vault/photos/still')
  expect((await leftOnClient(lab())).join('\n')).toContain('cloudvault.js monitor')

  // --kill asks; without a terminal it says how to answer, and ends nobody.
  const asked = await verb(lab(), ['down', 'photos', '--kill'], 2)
  expect(asked.stderr).toContain('--confirm photos')
  await verb(lab(), ['down', 'photos', '--kill', '--confirm', 'fotos'], 2)
  // A mount inside is the kernel's: nobody is ended for it.
  await client.run('mkdir /vault/photos/inside && mount -t tmpfs tmpfs /vault/photos/inside')
  const inside = await verb(lab(), ['down', 'photos', '--kill', '--confirm', 'photos'], 6)
  expect(inside.stderr).toContain('mounted inside: /vault/photos/inside')
  await client.run('pgrep -fx "sleep 600" && umount /vault/photos/inside')

  const bystander = client.start('cd /tmp && exec sleep 601')
  const killed = await timed(['down', 'photos', '--kill', '--confirm', 'photos'])
  expect(`${killed.code} ${killed.stderr}`).toMatch(/^0 /)
  await client.run('! pgrep -fx "sleep 600" && pgrep -fx "sleep 601"')
  await bystander.stop('KILL')
  await Promise.all([shell.wait(), stubborn.wait()])
  expect(await leftOnClient(lab())).toEqual([])
  await verb(lab(), ['up', 'photos'])
  await everyFileIsRight(lab())
  return `refused with pid, command and file of both; --kill with the typed name ended exactly these two (one by SIGKILL) in ${killed.seconds.toFixed(0)} s`
})

drill(35, lab, async () => {
  await standing()
  await note('frozen')
  const before = await journal(lab())
  for (const server of lab().servers) await server.freeze()
  await lab().client.run('echo unsaved > /vault/photos/unsaved')

  // While there is hope, nothing is given up; but nobody has to wait to be told.
  const early = await timed(['status', 'photos'])
  expect(early.code).toBe(0)
  expect(early.stdout).toContain('fsn, gra does not answer; what is read or written waits')
  const refused = await timed(['down', 'photos'])
  expect(refused.code).toBe(4)
  expect(refused.stderr).toContain('going down now would lose what is not written yet')
  expect(refused.stderr).toContain('the vault is mounted, untouched')
  expect((await leftOnClient(lab())).join('\n')).toContain('mounted')

  // When patience is over, it is told that nothing can be saved any more, and what stands here is taken down.
  await parked(before)
  const late = await timed(['status', 'photos', '--check'])
  expect(late.code).toBe(7)
  expect(late.stdout).toContain('reads and writes fail')
  const down = await timed(['down', 'photos'])
  expect(`${down.code} ${down.stderr}`).toMatch(/^4 /)
  expect(down.stdout).toContain('nothing is proved: no server answered any more')
  for (const answer of [early, late]) expect(answer.seconds).toBeLessThan(30)
  for (const answer of [refused, down]) expect(answer.seconds).toBeLessThan(60)
  expect(await leftOnClient(lab())).toEqual([])

  for (const server of lab().servers) await server.thaw()
  await verb(lab(), ['up', 'photos'])
  await verdictBecomes(lab(), 'healthy', 180)
  const files = await everyFileIsRight(lab())
  const took = [early, refused, late, down].map(({ seconds }) => seconds.toFixed(0)).join(', ')
  return `status, down (refused), status, down answered after ${took} s; after the thaw all ${files} fsynced files were right`
})

const parked = async (before: string): Promise<void> => {
  for (let waited = 0; waited < 150; waited += 2) {
    const said = (await journal(lab())).slice(before.length)
    if (/fsn: parked/.test(said) && /gra: parked/.test(said)) return
    await lab().client.run('sleep 2')
  }
  throw new Error(`not parked: ${await journal(lab())}`)
}

test('down, and nothing is left', async () => {
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
})
