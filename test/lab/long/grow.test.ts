import { beforeAll, describe, expect, test } from 'vitest'
import { changes } from '../changes.ts'
import { copyPhotos, killWhile, status, vaultUp, verdictBecomes } from '../drills/work.ts'
import { leftOnServer, nothingLeft, useLab, verb } from '../support.ts'

/**
 * A vault grows to three servers, gets another in the place of a living one, and shrinks again, while somebody writes
 * into it who never sees an error; each change is given up, limited or killed on its way, too. In the end each of those
 * who are left is enough.
 */

const lab = useLab({ servers: 4 })
const { joins, whileWriting, members, enough, begun, resumed, profile, emptied, givenUp } = changes(lab)

/** Begun, and killed with SIGKILL while the kernel works for that command. */
const cutOff = async (args: readonly string[], command: string): Promise<void> => {
  const running = begun(args)
  await killWhile(lab(), command)
  await running.wait()
}

/** The kernel's limit for each member, bytes per second. */
const limits = async (): Promise<string> =>
  (
    await lab().client.run('cat /sys/fs/btrfs/*/devinfo/[1-9]*/scrub_speed_max | sort -u | tr "\\n" " "')
  ).stdout.trim()

/** Bytes a second that are sent to a member, over so many seconds. */
const rateTo = async (member: string, seconds: number): Promise<number> => {
  const { stdout } =
    await lab().client.run(`d=$(dirname $(grep -lx cv-photos-${member} /sys/block/nbd*/backend))
    s() { echo $(awk '{print $7}' $d/stat) $(date +%s%N); }; s; sleep ${seconds}; s`)
  const [from = 0, at = 0, to = 0, then = 0] = stdout.trim().split(/\s+/).map(Number)
  return ((to - from) * 512) / ((then - at) / 1e9)
}

beforeAll(async () => {
  await vaultUp(lab(), { size: '1GiB' })
  await copyPhotos(lab())
}, 600_000)

describe('a vault whose members change while it is in use', () => {
  test('one that is given up half-way is as if it had never been begun', { timeout: 900_000 }, async () => {
    const third = [
      'add-mirror',
      'photos',
      ...joins('hel', '--member'),
      '--mirror',
      'raid1c3',
      '--limit',
      '256KiB',
    ]
    await whileWriting('begun and given up', () => givenUp(third, 'dconvert.raid1c3', 'hel'))
  })

  test('a third one, and every block on all three', { timeout: 900_000 }, async () => {
    await whileWriting('two to three', () =>
      verb(lab(), ['add-mirror', 'photos', ...joins('hel', '--member'), '--mirror', 'raid1c3']),
    )
    expect((await status(lab())).verdict).toBe('healthy')
    expect(await members()).toEqual(['fsn', 'gra', 'hel'])
  })

  test('the newest of the three is enough', { timeout: 900_000 }, async () => {
    await enough('fsn', 'gra')
    await verb(lab(), ['up', 'photos'])
  })

  test('a copy is as slow as it is told to be, and can be given up', { timeout: 900_000 }, async () => {
    await lab().client.run(
      'cd /vault/photos && head -c 64M /dev/urandom > film && sync -f . && sha256sum "$PWD"/film >> /tmp/sums',
      { deadlineMs: 300_000 },
    )
    const replacing = ['replace', 'photos', 'hel', ...joins('waw', '--with')]
    const seen: number[] = []
    const look = async (): Promise<void> => {
      const running = begun([...replacing, '--limit', '512KiB'])
      await expect.poll(limits, { timeout: 300_000 }).toBe('524288')
      seen.push(await rateTo('waw', 12))
      const following = begun(['resume', 'photos', '--limit', '2MiB'])
      await expect.poll(limits, { timeout: 60_000 }).toBe('2097152')
      seen.push(await rateTo('waw', 5))
      await verb(lab(), ['cancel', 'photos', '--yes'])
      await Promise.all([running.wait(), following.wait()])
    }
    await look()
    console.log(`copied at ${seen.map((rate) => `${(rate / 2 ** 20).toFixed(2)} MiB/s`).join(', then at ')}`)
    expect(seen[0]).toBeLessThan(0.75 * 2 ** 20)
    expect(seen[1]).toBeGreaterThan(1.5 * (seen[0] ?? 0))
    await expect.poll(limits, { timeout: 60_000 }).toBe('0')
    expect(await members()).toEqual(['fsn', 'gra', 'hel'])
    await verdictBecomes(lab(), 'healthy', 120)
  })

  test('a living one is replaced by another provider’s, killed twice on the way', {
    timeout: 900_000,
  }, async () => {
    await whileWriting('replace', async () => {
      await cutOff(
        ['replace', 'photos', 'hel', ...joins('waw', '--with'), '--limit', '2MiB'],
        'replace start',
      )
      // The kernel goes on with it; whoever follows it is another one now.
      await cutOff(['resume', 'photos'], 'cloudvault.js monitor')
      await resumed('--limit', 'off')
    })
    expect(await limits()).toBe('0')
    await verdictBecomes(lab(), 'healthy', 240)
    expect(await members()).toEqual(['fsn', 'gra', 'waw'])
    expect(await leftOnServer(lab().server('hel'))).toEqual([])
    await emptied('hel')
  })

  test('every block once less and once more, killed at metadata and at data', {
    timeout: 900_000,
  }, async () => {
    await whileWriting('less and more', async () => {
      const less = ['redundancy', 'photos', 'raid1', '--confirm', 'photos', '--limit', '512KiB']
      await cutOff(less, 'mconvert.raid1.soft')
      await resumed('--limit', 'off')
      const more = ['redundancy', 'photos', 'raid1c3', '--yes', '--limit', '512KiB']
      await cutOff(more, 'mconvert.raid1c3')
      await cutOff(['resume', 'photos'], 'dconvert.raid1c3')
      await resumed('--limit', 'off')
    })
    expect((await status(lab())).verdict).toBe('healthy')
    expect(await profile()).toContain('mirror: raid1c3')
  })

  test('a removal that is given up half-way leaves everybody with everything', {
    timeout: 900_000,
  }, async () => {
    const leaves = ['remove-mirror', 'photos', 'waw', '--mirror', 'raid1', '--confirm', 'photos']
    await whileWriting('begun to leave, and stays', () =>
      givenUp([...leaves, '--limit', '256KiB'], 'dconvert.raid1.soft'),
    )
  })

  test('fewer copies on fewer servers', { timeout: 900_000 }, async () => {
    const refused = await verb(lab(), ['remove-mirror', 'photos', 'waw', '--confirm', 'photos'], 7)
    expect(refused.stderr).toContain('raid1c3 needs 3 members')
    await whileWriting('three to two', () =>
      verb(lab(), ['remove-mirror', 'photos', 'waw', '--mirror', 'raid1', '--confirm', 'photos']),
    )
    expect((await status(lab())).verdict).toBe('healthy')
    expect(await members()).toEqual(['fsn', 'gra'])
  })

  test('each of those who are left has everything, and nothing else is left', {
    timeout: 900_000,
  }, async () => {
    await enough('fsn')
    await enough('gra')
    await nothingLeft(lab())
  })
})
