import { beforeAll, describe, expect, test } from 'vitest'
import { copyPhotos, everyFileIsRight, status, verdictBecomes, writeDuring } from './drills/work.ts'
import { labProfile, leftOnServer, nothingLeft, useLab, verb } from './support.ts'

/**
 * A vault grows from one server to three, gets another in the place of a living and of a dead one, and shrinks again,
 * while somebody writes into it who never sees an error. In the end each of those who are left is enough.
 */

const lab = useLab({ servers: 4 })

const joins = (name: string, flag: '--member' | '--with', more = ''): string[] => [
  flag,
  `name=${name},ssh=vps-${name}${more}`,
  '--accept-host-key',
  `${name}=${lab().server(name).hostKeyFingerprint}`,
  '--yes',
]

/** Somebody writes while it changes; nobody may see an error, and afterwards every file is right. */
const whileWriting = async (what: string, change: () => Promise<unknown>): Promise<void> => {
  const began = Date.now()
  const { files, worstMs } = await writeDuring(lab(), async () => {
    await change()
  })
  const seconds = Math.round((Date.now() - began) / 1000)
  console.log(`${what}: ${seconds} s, ${files} files written meanwhile, longest wait ${worstMs} ms`)
  expect(await everyFileIsRight(lab())).toBeGreaterThan(files)
}

const members = async (): Promise<string[]> => (await status(lab())).members.map(({ name }) => name).sort()

/** Taken down with proof and brought up with these alone, every file is right. */
const enough = async (...without: string[]): Promise<void> => {
  await verb(lab(), ['down', 'photos'])
  await verb(lab(), ['up', 'photos', '--degraded=ro', ...without.flatMap((name) => ['--without', name])])
  await everyFileIsRight(lab())
  await verb(lab(), ['down', 'photos'])
}

beforeAll(async () => {
  await labProfile(lab(), { size: '1GiB' })
  const both = await lab().client.readFile('/etc/cloudvault/photos.yaml')
  const alone = both.slice(0, both.indexOf('\n  - name: gra')).replace('mirror: raid1 ', 'mirror: single ')
  await lab().client.putFile('/etc/cloudvault/photos.yaml', `${alone}\n`, 0o600)
  await verb(lab(), ['provision', 'photos'])
  await verb(lab(), ['create', 'photos', '--confirm', 'photos'])
  await verb(lab(), ['up', 'photos'])
  await copyPhotos(lab())
}, 600_000)

describe('a vault whose members change while it is in use', () => {
  test('from one server to two: it heals itself from then on', { timeout: 900_000 }, async () => {
    await whileWriting('one to two', () => verb(lab(), ['add-mirror', 'photos', ...joins('gra', '--member')]))
    expect((await status(lab())).verdict).toBe('healthy')
    expect(await members()).toEqual(['fsn', 'gra'])
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

  test('a living one is replaced by another provider’s', { timeout: 900_000 }, async () => {
    await whileWriting('replace', () => verb(lab(), ['replace', 'photos', 'hel', ...joins('waw', '--with')]))
    await verdictBecomes(lab(), 'healthy', 240)
    expect(await members()).toEqual(['fsn', 'gra', 'waw'])
    expect(await leftOnServer(lab().server('hel'))).toEqual([])
    const left = await lab().server('hel').run('ls /srv/cloudvault /etc/cloudvault 2>&1; true')
    expect(left.stdout).not.toMatch(/photos/)
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

  test('a dead one is replaced', { timeout: 900_000 }, async () => {
    await lab().server('gra').kill()
    await verdictBecomes(lab(), 'degraded', 120)
    await whileWriting('replace of a dead one', () =>
      verb(lab(), ['replace', 'photos', 'gra', ...joins('waw', '--with')]),
    )
    await verdictBecomes(lab(), 'healthy', 240)
    expect(await members()).toEqual(['fsn', 'waw'])
  })

  test('each of those who are left has everything, and nothing else is left', {
    timeout: 900_000,
  }, async () => {
    await enough('fsn')
    await enough('waw')
    await nothingLeft(lab())
  })
})
