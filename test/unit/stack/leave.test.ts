import { expect, test } from 'vitest'
import { Exit, Fault } from '../../../src/fault.ts'
import { type Leaving, removeDevice } from '../../../src/stack/leave.ts'
import { pause, unlessLimited } from '../../../src/stack/pace.ts'
import { scriptedHost } from '../support/scripted-host.ts'

/** A member that goes, as fast as the line is or so slowly that people can work beside it. */

const MiB = 2 ** 20
/** So much that nobody ever waits. */
const plenty = 1e15
const never = new AbortController().signal

/** A device with chunks that are gone once its end was moved in. */
const machine = (starts: readonly number[] | null) => {
  let left = starts
  const host = scriptedHost('here', [
    ['device remove cancel', { code: 1, stderr: 'ERROR: error removing device: Socket not connected' }],
    ['filesystem resize cancel', { code: 1, stderr: 'ERROR: unable to resize: Socket not connected' }],
    ['filesystem resize', ({ argv }) => cut(Number(argv[3]?.split(':')[1]))],
    ['device remove', {}],
  ])
  const cut = (end: number) => {
    left = left?.filter((start) => start < end) ?? null
    return {}
  }
  const work = (limit: Leaving['limit']): Leaving => ({
    ...{ at: '/m', device: 3, signal: never, limit, look: async () => {} },
    filled: async () => 0.5,
    extents: async () => left?.map((start) => ({ start, length: 100 * MiB })) ?? null,
  })
  const done = () => host.lines.filter((line) => !line.includes('cancel'))
  return { host, work, done }
}

test('without a limit the kernel has it all in one go', async () => {
  const { host, work, done } = machine([MiB, 900 * MiB])
  await removeDevice(
    host,
    work(async () => null),
  )
  expect(done()).toEqual(['btrfs device remove 3 /m'])
})

test('with one its end is moved in chunk by chunk, until the kernel makes no device smaller', async () => {
  const { host, work, done } = machine([MiB, 255 * MiB, 500 * MiB, 900 * MiB])
  await removeDevice(
    host,
    work(async () => plenty),
  )
  expect(done()).toEqual([
    `btrfs filesystem resize 3:${900 * MiB} /m`,
    `btrfs filesystem resize 3:${500 * MiB} /m`,
    'btrfs device remove 3 /m',
  ])
})

test('a limit that is taken away is not kept any longer', async () => {
  const { host, work, done } = machine([MiB, 500 * MiB, 900 * MiB])
  let asked = 0
  await removeDevice(
    host,
    work(async () => (asked++ === 0 ? plenty : null)),
  )
  expect(done()).toEqual([`btrfs filesystem resize 3:${900 * MiB} /m`, 'btrfs device remove 3 /m'])
})

test('of one that does not answer nothing is read, and no limit is kept', async () => {
  const { host, work, done } = machine(null)
  await removeDevice(
    host,
    work(async () => 1),
  )
  expect(done()).toEqual(['btrfs device remove 3 /m'])
})

test('a limit that comes too late finds it done', async () => {
  const { host, work, done } = machine([900 * MiB])
  const asked: number[] = []
  // The last look, and the end of it, are one moment.
  const slow = {
    ...host,
    run: async (command: Parameters<typeof host.run>[0]) => {
      const output = await host.run(command)
      if (command.argv.join(' ') === 'btrfs device remove 3 /m')
        await expect.poll(() => asked.length, { timeout: 10_000 }).toBeGreaterThan(1)
      return output
    },
  }
  await removeDevice(
    slow,
    work(async () => (asked.push(1) === 1 ? null : plenty)),
  )
  expect(done()).toEqual(['btrfs device remove 3 /m'])
})

test('what has no room elsewhere is tried once more with room made, and then a decision', async () => {
  const full = scriptedHost('here', [
    ['cancel', {}],
    ['balance start', {}],
    ['filesystem resize', { code: 1, stderr: "ERROR: unable to resize '/m': No space left on device" }],
  ])
  const { work } = machine([900 * MiB])
  await expect(
    removeDevice(
      full,
      work(async () => plenty),
    ),
  ).rejects.toMatchObject({
    exit: Exit.decide,
  })
  const tried = full.lines.filter((line) => !line.includes('cancel'))
  expect(tried.map((line) => line.split(' ', 3).join(' '))).toEqual([
    'btrfs filesystem resize',
    'btrfs balance start',
    'btrfs balance start',
    'btrfs filesystem resize',
  ])
})

test('a limit that is set meanwhile stops what runs without one; whoever interrupts stops it for good', async () => {
  let limit: number | null = null
  const run = async (work: { signal: AbortSignal; look: () => Promise<void> }): Promise<void> => {
    for (let second = 0; second < 5; second++) {
      limit = second > 2 ? 1 : null
      await work.look()
      if (work.signal.aborted) throw new Fault(Exit.interrupted, 'stopped')
    }
  }
  const pace = { limit: async () => limit, look: async () => {} }
  expect(await unlessLimited({ ...pace, signal: never }, run)).toBe(false)
  expect(await unlessLimited({ ...pace, limit: async () => null, signal: never }, run)).toBe(true)
  await expect(unlessLimited({ ...pace, signal: AbortSignal.abort() }, run)).rejects.toMatchObject({
    exit: Exit.interrupted,
  })
})

test('a pause ends when the limit goes, when the average is kept, and when it is over', async () => {
  const looked: string[] = []
  const pace = (limit: number | null, signal = never) => ({
    limit: async () => limit,
    signal,
    look: async () => void looked.push('waited'),
  })
  const day = 24 * 3600 * 1000
  await pause(1000, performance.now(), pace(null))
  await pause(1000, performance.now() - day, pace(1))
  await pause(1000, performance.now(), pace(1, AbortSignal.abort()))
  expect(looked).toEqual([])
  let asked = 0
  await pause(500, performance.now(), { ...pace(1), limit: async () => (asked++ === 0 ? 1000 : null) })
  expect(looked).toEqual(['waited'])
})
