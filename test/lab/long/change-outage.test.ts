import { beforeAll, describe, expect, test } from 'vitest'
import { changes } from '../changes.ts'
import { aloneUp, copyPhotos, movedTo, status, verdictBecomes } from '../drills/work.ts'
import { nothingLeft, useLab } from '../support.ts'

/**
 * The network goes away while a change of members runs and somebody writes: a newcomer's server and an old one, shortly
 * and for longer than patience. The writer sees no error, what protects the data is told, nothing that could still be
 * needed is given up meanwhile, and with the network back the change comes to its end. In the end each of those who are
 * left is enough.
 */

const lab = useLab({ servers: 4 })
const { joins, whileWriting, members, enough, begun, ended, resumed, emptied } = changes(lab)
const minutes = 60_000

/** So slow that a change is met in its middle, megabits a second. */
const slowly = async (name: string): Promise<void> => lab().server(name).shape({ mbit: 16 })

const fast = async (name: string): Promise<void> => lab().server(name).shape(null)

/** Longer than the kernel waits for an answer, shorter than patience: what was begun waits. */
const cutShortly = async (name: string): Promise<void> => {
  const server = lab().server(name)
  await server.cutLink()
  const back = lab()
    .client.run('sleep 22')
    .then(() => server.restoreLink())
  const { job } = await status(lab())
  await back
  expect(job?.phase).toBe('move')
}

/** Until it is parked. @returns what is said then */
const cutForLong = async (name: string) => {
  await lab().server(name).cutLink()
  const note = async () => (await status(lab())).members.find((member) => member.name === name)?.link.note
  await expect.poll(note, { timeout: 3 * minutes, interval: 2000 }).toBe('parked')
  return status(lab())
}

beforeAll(async () => {
  await aloneUp(lab(), { size: '1GiB' })
  await copyPhotos(lab())
  await lab().client.run(
    'cd /vault/photos && head -c 64M /dev/urandom > film && sync -f . && sha256sum "$PWD"/film >> /tmp/sums',
    { deadlineMs: 5 * minutes },
  )
}, 10 * minutes)

describe('the network is away while the members change', () => {
  test('one to two: the only whole one shortly, then the newcomer', { timeout: 20 * minutes }, async () => {
    await slowly('gra')
    await whileWriting('one to two', async () => {
      const adding = begun(['add-mirror', 'photos', ...joins('gra', '--member')])
      await movedTo(lab(), 0, 600)
      await cutShortly('fsn')
      await cutShortly('gra')
      await fast('gra')
      const { code, stderr } = await adding.wait()
      expect(code, stderr).toBe(0)
    })
    await verdictBecomes(lab(), 'healthy', 120)
    expect(await members()).toEqual(['fsn', 'gra'])
  })

  test('two to three: the newcomer for longer than patience', { timeout: 20 * minutes }, async () => {
    await slowly('hel')
    await whileWriting('two to three', async () => {
      const adding = begun(['add-mirror', 'photos', ...joins('hel', '--member'), '--mirror', 'raid1c3'])
      await movedTo(lab(), 0, 600)
      const seen = await cutForLong('hel')
      expect(seen.verdict).toBe('degraded')
      expect(seen.job).toMatchObject({ kind: 'add', phase: 'move' })
      expect(seen.why.join('; ')).toMatch(
        /hel does not answer.*adding hel: waits until hel answers; until it is done one copy of everything is sure/,
      )
      const { code, stderr } = await adding.wait()
      expect(`${code} ${stderr}`).toMatch(/^7 [\s\S]*adding hel cannot go on: hel does not answer/)
      await fast('hel')
      await lab().server('hel').restoreLink()
      await resumed()
    })
    await verdictBecomes(lab(), 'healthy', 300)
    expect(await members()).toEqual(['fsn', 'gra', 'hel'])
  })

  // With the most room, waw has a part of every chunk that is stored on two: its removal has something to move.
  test('a copy: its target for longer than patience, then one that it is read from', {
    timeout: 20 * minutes,
  }, async () => {
    await slowly('waw')
    await whileWriting('replace', async () => {
      const replacing = begun(['replace', 'photos', 'hel', ...joins('waw', '--with', ',size=1536MiB')])
      await movedTo(lab(), 0, 600)
      const seen = await cutForLong('waw')
      expect(seen.job).toMatchObject({ kind: 'replace', phase: 'move' })
      const { code, stderr } = await replacing.wait()
      expect(`${code} ${stderr}`).toMatch(/^7 [\s\S]*replacing hel by waw cannot go on: waw does not answer/)
      // The one that goes is one as before: the kernel would have ended it with next to nothing on the other one.
      const copy = await lab().client.run('btrfs replace status -1 /vault/photos')
      expect(copy.stdout).toMatch(/cancell?ed/)
      expect(await members()).toContain('hel')
      await lab().server('waw').restoreLink()
      await movedTo(lab(), 0, 600)
      await cutShortly('gra')
      await cutShortly('hel')
      await fast('waw')
      await resumed()
    })
    await verdictBecomes(lab(), 'healthy', 300)
    expect(await members()).toEqual(['fsn', 'gra', 'waw'])
  })

  test('a removal: one that stays for longer than patience, then the one that goes', {
    timeout: 20 * minutes,
  }, async () => {
    await slowly('gra')
    const leaves = ['remove-mirror', 'photos', 'waw', '--mirror', 'raid1', '--confirm', 'photos']
    await whileWriting('three to two', async () => {
      const removing = begun(leaves)
      await movedTo(lab(), 0, 600, 'leave')
      const seen = await cutForLong('gra')
      expect(seen.verdict).toBe('degraded')
      expect(seen.job).toMatchObject({ kind: 'remove', phase: 'move' })
      const { code, stderr } = await removing.wait()
      expect(`${code} ${stderr}`).toMatch(/^7 [\s\S]*removing waw cannot go on: gra does not answer/)
      expect(await members()).toContain('waw')
      await lab().server('gra').restoreLink()
      await movedTo(lab(), 0, 600, 'leave')
      await cutShortly('waw')
      await fast('gra')
      await ended()
    })
    await verdictBecomes(lab(), 'healthy', 300)
    expect(await members()).toEqual(['fsn', 'gra'])
  })

  test('each of those who are left has everything, and nothing else is left', {
    timeout: 15 * minutes,
  }, async () => {
    await enough('fsn')
    await enough('gra')
    await nothingLeft(lab())
    await emptied('hel')
    await emptied('waw')
  })
})
