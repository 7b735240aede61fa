import { createDecipheriv } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Running } from '../../../lab/running.ts'
import { copyPhotos, everyFileIsRight, killMovers, status, vaultUp, writeDuring } from '../drills/work.ts'
import { nothingLeft, useLab, verb, volumeKey } from '../support.ts'

/**
 * New keys for everything, while somebody writes: killed in the middle, gone on with, and then tried on what the
 * providers really have on their disks.
 */
const lab = useLab({ servers: 2 })
const state = '/var/lib/cloudvault/photos'
const minutes = 60_000

/** The kernel's IV counts in units of 512 bytes, also with sectors of 4096. */
const sectorsOf512 = 64 * 2

/** Whether a volume key makes the superblock of Btrfs of what the provider has on its disk. */
const opens = async (server: string, image: string, key: Buffer): Promise<boolean> => {
  const read = `dd if=/srv/cloudvault/${image} bs=4096 skip=16 count=1 status=none | base64 -w0`
  const block = Buffer.from((await lab().server(server).run(read)).stdout, 'base64')
  expect(block.length).toBe(4096)
  const iv = Buffer.alloc(16)
  iv.writeUInt32LE(sectorsOf512)
  const plain = createDecipheriv('aes-256-xts', key, iv).update(block)
  return plain.subarray(64, 72).toString('latin1') === '_BHRfS_M'
}

const keyOf = async (folder: string, member: string): Promise<Buffer> => {
  const vaultKey = await volumeKey(lab(), `${folder}/keys.luks`, '/root/photos.pass')
  await lab().client.putFile('/root/vault.key', '', 0o600)
  await lab().client.run('base64 -d > /root/vault.key', { input: vaultKey.toString('base64') })
  const headers = folder === state ? `${state}/headers` : folder
  return volumeKey(lab(), `${headers}/${member}.luks`, '/root/vault.key')
}

/** The verb, the monitor and the shell that would start it again end with SIGKILL as soon as data moves. */
const killedInTheMiddle = async (args: readonly string[]): Promise<void> => {
  const running = lab().client.start(lab().client.cloudvaultArgv(args))
  let over = false
  const ended = running.wait().finally(() => {
    over = true
  })
  const moving = `grep -q '"phase": "move"' ${state}/record.json`
  for (let looks = 0; looks < 1500 && !over; looks++)
    if ((await lab().client.run(moving, { allowFail: true })).code === 0) break
  await killMovers(lab())
  await lab().client.run('kill -9 $(pgrep -f "[c]loudvault.js monitor")')
  expect((await ended).code).not.toBe(0)
}

/** For longer than the kernel waits: nobody but a monitor connects them again, and without one the mount is lost. */
const bothLinksAreLost = async (): Promise<void> => {
  for (const server of lab().servers) await server.cutLink()
  await lab().client.run('sleep 25')
  for (const server of lab().servers) await server.restoreLink()
}

describe('a mirror', () => {
  beforeAll(async () => {
    await vaultUp(lab(), { size: '256MiB' })
    await copyPhotos(lab())
  }, 15 * minutes)

  test('while somebody writes, killed in the middle: the old keys open nothing, each new one does', {
    timeout: 20 * minutes,
  }, async () => {
    await verb(lab(), ['key', 'add', 'photos', '--recovery'])
    await lab().client.run(`mkdir /root/old && cp ${state}/keys.luks ${state}/headers/*.luks /root/old`)
    const before = await keyOf('/root/old', 'fsn')
    expect(await opens('fsn', 'photos.img', before)).toBe(true)
    const rotate = ['key', 'rotate', 'photos', '--reencrypt']
    await verb(lab(), ['key', 'rotate', 'photos'], 2)
    const plan = await verb(lab(), [...rotate, '--dry-run'])
    expect(plan.stdout).toMatch(/fsn becomes fsn2, on the same server: \/srv\/cloudvault\/photos-fsn2\.img/)
    expect(plan.stdout).toMatch(/moves .* at .*\/s.*\n +takes +about/)
    expect(plan.stdout).toMatch(/slot \d .*recovery: gone then/)
    await verb(lab(), [...rotate, '--confirm', 'other'], 2)
    const began = Date.now()
    const { files, worstMs } = await writeDuring(lab(), async () => {
      await killedInTheMiddle([...rotate, '--confirm', 'photos'])
      const seen = await status(lab())
      expect(seen.why.join()).toContain('new volume keys: 0 of 2 members have theirs')
      expect(seen.verdict).not.toBe('degraded')
      expect(seen.why.join()).toContain('no monitor runs')
      await bothLinksAreLost()
      expect((await verb(lab(), rotate, 6)).stderr).toContain('cloudvault resume photos')
      const done = await verb(lab(), ['resume', 'photos'])
      expect(done.stderr).toContain('no monitor ran for photos: one was started')
      expect(done.stdout).toContain('every member has a new volume key: fsn2, gra2')
    })
    const seconds = Math.round((Date.now() - began) / 1000)
    console.log(`rotate: ${seconds} s, ${files} files written meanwhile, longest wait ${worstMs} ms`)
    expect((await status(lab())).verdict).toBe('healthy')
    expect((await verb(lab(), ['key', 'list', 'photos'])).stdout).toMatch(/^slot 0 {2}passphrase.*\n$/)
    for (const [member, old] of [
      ['fsn2', 'fsn'],
      ['gra2', 'gra'],
    ] as const) {
      expect(await opens(old, `photos-${member}.img`, await keyOf('/root/old', old))).toBe(false)
      // The old vault key, which is in /root/vault.key now, opens no header of today.
      const refused = `cryptsetup open --test-passphrase --key-file=/root/vault.key ${state}/headers/${member}.luks`
      expect((await lab().client.run(refused, { allowFail: true })).code).toBe(2)
      expect(await opens(old, `photos-${member}.img`, await keyOf(state, member))).toBe(true)
      const left = `ls /srv/cloudvault /etc/cloudvault`
      expect((await lab().server(old).run(left)).stdout).not.toMatch(/photos\.img|cv-photos-(fsn|gra)\n/)
    }
    expect((await lab().client.run(`ls ${state} ${state}/headers`)).stdout).not.toMatch(/fsn\.luks|next/)
  })

  test('each of them has every file', { timeout: 10 * minutes }, async () => {
    await verb(lab(), ['down', 'photos'])
    for (const without of ['fsn2', 'gra2']) {
      await verb(lab(), ['up', 'photos', '--degraded=ro', '--without', without])
      expect(await everyFileIsRight(lab())).toBeGreaterThan(0)
      await verb(lab(), ['down', 'photos'])
    }
    await nothingLeft(lab())
  })

  test('unprovisioned, nothing of it is left, not even the directory that the first disk was in', {
    timeout: 5 * minutes,
  }, async () => {
    await verb(lab(), ['unprovision', 'photos', '--confirm', 'photos'])
    const left = 'ls -d /srv/cloudvault /etc/cloudvault 2>/dev/null; true'
    for (const server of lab().servers) expect((await server.run(left)).stdout).toBe('')
  })
})

describe('a vault without a mirror', () => {
  const rotate = ['key', 'rotate', 'photos', '--reencrypt', '--confirm', 'photos']

  beforeAll(async () => {
    await lab().client.run(`rm -rf ${state} /root/old /tmp/sums`)
    const fsn = lab().server('fsn')
    await vaultUp(lab(), {
      shipped: 'single',
      // In less than this Btrfs may find no room to take a chunk out of use while it is copied.
      size: '512MiB',
      changes: [
        ['scratch', 'photos'],
        ['ssh: root@vps-fsn.example.com:22', `ssh: vps-fsn\n    host_key: ${fsn.hostKeyFingerprint}`],
      ],
    })
    await copyPhotos(lab())
    const noise = '/vault/photos/noise'
    await lab().client.run(
      `head -c 50000000 /dev/urandom > ${noise} && sync -f ${noise} && sha256sum ${noise} >> /tmp/sums`,
    )
  }, 10 * minutes)

  /** A rotation that has come to its copy, which takes half a minute: somebody wants it slow while it is set up. */
  const inTheMiddle = async (): Promise<Running> => {
    const running = lab().client.start(lab().client.cloudvaultArgv(rotate))
    const comesTo = (phase: string): Promise<unknown> =>
      lab().client.run(
        `i=0; until grep -q '"phase": "${phase}"' ${state}/record.json; do i=$((i+1)); [ $i -lt 900 ] || exit 1; sleep 0.1; done`,
        { deadlineMs: 200_000 },
      )
    await comesTo('prepare')
    // Noted at once; that it cannot go on beside the other one is told then.
    await verb(lab(), ['resume', 'photos', '--limit', '2MiB'], 6)
    await comesTo('move')
    return running
  }

  test('while somebody writes: the old key opens nothing, the new one does', {
    timeout: 10 * minutes,
  }, async () => {
    const before = await keyOf(state, 'fsn')
    const { files, worstMs } = await writeDuring(lab(), async () => {
      expect((await verb(lab(), rotate)).stdout).toContain('every member has a new volume key: fsn2')
    })
    console.log(`rotate, no mirror: ${files} files written meanwhile, longest wait ${worstMs} ms`)
    expect((await status(lab())).verdict).toBe('healthy')
    expect(await opens('fsn', 'photos-fsn2.img', before)).toBe(false)
    expect(await opens('fsn', 'photos-fsn2.img', await keyOf(state, 'fsn2'))).toBe(true)
    expect(await everyFileIsRight(lab())).toBeGreaterThan(0)
  })

  test('given up in the middle: as before, and whoever was at it is told so', {
    timeout: 10 * minutes,
  }, async () => {
    const before = await keyOf(state, 'fsn2')
    const running = await inTheMiddle()
    await verb(lab(), ['cancel', 'photos', '--yes'])
    const ended = await running.wait()
    expect(`${ended.code} ${ended.stderr}`).toMatch(/^6 [\s\S]*given up by somebody else/)
    const now = await status(lab())
    expect([now.verdict, now.members.map(({ name }) => name)]).toEqual(['healthy', ['fsn2']])
    expect((await lab().server('fsn').run('ls /srv/cloudvault')).stdout).toBe('photos-fsn2.img\n')
    expect(await opens('fsn', 'photos-fsn2.img', before)).toBe(true)
    await verb(lab(), ['down', 'photos'])
    await verb(lab(), ['up', 'photos'])
    expect(await everyFileIsRight(lab())).toBeGreaterThan(0)
  })

  test('the client is cut off in the middle: it comes up again, and resume goes on', {
    timeout: 10 * minutes,
  }, async () => {
    const before = await keyOf(state, 'fsn2')
    const running = await inTheMiddle()
    await lab().client.run('sync -f /vault/photos; cp /tmp/sums /root/sums; sync /root/sums')
    await lab().client.kill()
    await running.wait().catch(() => {})
    await lab().client.boot()
    await lab().client.run('cp /root/sums /tmp/sums')
    await verb(lab(), ['up', 'photos'])
    const seen = await status(lab())
    expect(seen.why.join()).toContain('new volume keys: 0 of 1 members have theirs')
    const done = await verb(lab(), ['resume', 'photos', '--limit', 'off'])
    expect(done.stdout).toContain('every member has a new volume key: fsn3')
    expect((await status(lab())).verdict).toBe('healthy')
    expect(await opens('fsn', 'photos-fsn3.img', before)).toBe(false)
    expect(await opens('fsn', 'photos-fsn3.img', await keyOf(state, 'fsn3'))).toBe(true)
    expect(await everyFileIsRight(lab())).toBeGreaterThan(0)
  })

  test('down and unprovisioned, nothing is left', { timeout: 5 * minutes }, async () => {
    await verb(lab(), ['down', 'photos'])
    await nothingLeft(lab())
    await verb(lab(), ['unprovision', 'photos', '--confirm', 'photos'])
  })
})
