import { createDecipheriv } from 'node:crypto'
import { beforeAll, expect, test } from 'vitest'
import { copyPhotos, everyFileIsRight, killMovers, status, vaultUp, writeDuring } from '../drills/work.ts'
import { nothingLeft, useLab, verb, volumeKey } from '../support.ts'

/**
 * New keys for everything, while somebody writes: killed in the middle, gone on with, and then tried on what the
 * providers really have on their disks.
 */
const lab = useLab({ servers: 2 })
const state = '/var/lib/cloudvault/photos'
const minutes = 60_000

beforeAll(async () => {
  await vaultUp(lab(), { size: '256MiB' })
  await copyPhotos(lab())
}, 15 * minutes)

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

/** The verb and the monitor end with SIGKILL as soon as data moves; not the shell that starts the monitor again. */
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
  expect((await ended).code).not.toBe(0)
}

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
    expect((await verb(lab(), rotate, 6)).stderr).toContain('cloudvault resume photos')
    const done = await verb(lab(), ['resume', 'photos'])
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
