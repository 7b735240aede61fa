import { expect, test } from 'vitest'
import { copyPhotos, everyFileIsRight, rightAlone, status, vaultUp, writeDuring } from '../drills/work.ts'
import { nothingLeft, useLab, verb } from '../support.ts'

/**
 * A member gets another size while somebody writes: larger, smaller, and killed on the way. Sizes are compared at every
 * layer, from the server's file to the filesystem.
 */
const lab = useLab({ servers: 2 })

const MiB = 2 ** 20
/** A machine that does other things as well. */
const patience = 900_000
const disk = '/srv/cloudvault/photos.img'

/** Bytes of each layer of a member, from the bottom up. */
const layers = async (member: 'fsn' | 'gra') => {
  const index = member === 'fsn' ? 0 : 1
  const file = await lab().server(member).run(`stat -c '%s %b %B' ${disk}`)
  const [size = 0, blocks = 0, unit = 0] = file.stdout.trim().split(' ').map(Number)
  expect(blocks * unit).toBeGreaterThanOrEqual(size)
  const script = `echo $(( $(cat /sys/block/nbd${index}/size) * 512 ))
    echo $(( $(cat /sys/block/$(basename $(readlink /dev/mapper/cv-photos-${member}))/size) * 512 ))
    btrfs filesystem sync /vault/photos > /dev/null; blockdev --flushbufs /dev/mapper/cv-photos-${member}
    btrfs inspect-internal dump-super /dev/mapper/cv-photos-${member} | sed -n 's/^dev_item.total_bytes[^0-9]*//p'`
  const above = (await lab().client.run(script)).stdout.trim().split('\n').map(Number)
  const record = JSON.parse((await lab().client.run('cat /var/lib/cloudvault/photos/record.json')).stdout)
  const { sizeBytes, resizingTo } = record.members[member]
  return [size, ...above, sizeBytes, ...(resizingTo === undefined ? [] : [`to ${resizingTo}`])]
}
const all = (mebi: number) => [mebi, mebi, mebi, mebi, mebi].map((size) => size * MiB)

const profile = async () => (await lab().client.run('cat /etc/cloudvault/photos.yaml')).stdout

/** Runs a resize and kills it with -9 as soon as it has said that this step is done. */
const killedAfter = async (step: string, args: string): Promise<void> => {
  const script = `cloudvault resize photos ${args} > /tmp/resize.out 2>&1 & i=0
    until grep -q '+ .*${step}' /tmp/resize.out; do
      i=$((i+1)); [ $i -lt 3000 ] || { cat /tmp/resize.out; exit 1; }; sleep 0.02
    done
    pkill -9 -f '[c]loudvault.js resize photos'; wait; ! grep -q 'fit in photos' /tmp/resize.out`
  await lab().client.run(script, { deadlineMs: 180_000 })
}

test(
  'larger, under a writer: nothing fails, every layer has the new size, and the profile too',
  async () => {
    await vaultUp(lab())
    await copyPhotos(lab())
    const seen = await writeDuring(lab(), async () => {
      const grown = await verb(lab(), ['resize', 'photos', 'fsn', '768MiB', '--yes'])
      expect(grown.stderr).toContain('nothing more fits until gra grows too')
      await verb(lab(), ['resize', 'photos', 'gra', '768MiB', '--yes', '--json'])
    })
    console.log(`grown twice under a writer: ${seen.files} files, longest wait ${seen.worstMs} ms`)
    expect(await layers('fsn')).toEqual(all(768))
    expect(await layers('gra')).toEqual(all(768))
    expect((await profile()).match(/size: 768MiB.*/g)).toEqual([
      expect.stringContaining('# ←'),
      expect.any(String),
    ])
    expect((await status(lab())).verdict).toBe('healthy')
    const again = await verb(lab(), ['resize', 'photos', 'gra', '768MiB', '--yes'])
    expect(again.stdout).toContain('no change')
  },
  patience,
)

test(
  'smaller needs the name of the vault, and room for what is stored',
  async () => {
    await verb(lab(), ['resize', 'photos', 'fsn', '512MiB'], 2)
    const full = 'fallocate -l 330M /vault/photos/big && sync -f /vault/photos'
    await lab().client.run(full, { deadlineMs: 300_000 })
    const refused = await verb(lab(), ['resize', 'photos', 'fsn', '300MiB', '--confirm', 'photos'], 7)
    expect(refused.stderr).toContain('300MiB is too small')
    expect(await layers('fsn')).toEqual(all(768))
    await lab().client.run('rm /vault/photos/big; sync -f /vault/photos')
  },
  patience,
)

test(
  'smaller, under a writer: what lies behind the cut is moved first',
  async () => {
    const plan = await verb(lab(), ['resize', 'photos', 'fsn', '400MiB', '--dry-run'])
    expect(plan.stdout).toContain('btrfs filesystem resize --enqueue 1:419430400')
    const seen = await writeDuring(lab(), async () => {
      await verb(lab(), ['resize', 'photos', 'fsn', '400MiB', '--confirm', 'photos'])
    })
    console.log(`shrunk under a writer: ${seen.files} files, longest wait ${seen.worstMs} ms`)
    expect(await layers('fsn')).toEqual(all(400))
    await everyFileIsRight(lab())
  },
  patience,
)

test(
  'killed when the disk is larger and nothing above it: the next up takes it, the same command finishes',
  async () => {
    await killedAfter('disk fsn', 'fsn 640MiB --yes')
    expect(await layers('fsn')).toEqual(
      [640, 400, 400, 400, 400].map((size) => size * MiB).concat(`to ${640 * MiB}` as never),
    )
    const report = await status(lab())
    expect(report.next[0]).toContain('cloudvault resize photos fsn 640MiB')
    const other = await verb(lab(), ['resize', 'photos', 'fsn', '500MiB', '--yes'], 7)
    expect(other.stderr).toContain('to 640MiB was begun')
    await verb(lab(), ['down', 'photos'])
    await verb(lab(), ['up', 'photos'])
    await verb(lab(), ['resize', 'photos', 'fsn', '640MiB', '--yes'])
    expect(await layers('fsn')).toEqual(all(640))
  },
  patience,
)

test(
  'killed in the middle of a shrink, twice, with a crash of nothing but the program',
  async () => {
    await killedAfter('filesystem fsn', 'fsn 500MiB --confirm photos')
    await killedAfter('device fsn', 'fsn 500MiB --confirm photos')
    await verb(lab(), ['down', 'photos'])
    await verb(lab(), ['up', 'photos'])
    await verb(lab(), ['resize', 'photos', 'fsn', '500MiB', '--confirm', 'photos'])
    expect(await layers('fsn')).toEqual(all(500))
    await everyFileIsRight(lab())
  },
  patience,
)

test(
  'afterwards provision has nothing to change, and each member alone has every file',
  async () => {
    const provisioned = await verb(lab(), ['provision', 'photos'])
    expect(provisioned.stdout).toContain('fsn: no change')
    expect((await status(lab())).verdict).toBe('healthy')
    await verb(lab(), ['down', 'photos'])
    for (const name of ['fsn', 'gra']) await rightAlone(lab(), name)
    await nothingLeft(lab())
  },
  patience,
)
