import { beforeAll, describe, expect, test } from 'vitest'
import { labProfile, refusedUp, useLab, verb } from './support.ts'

/** `up` when something is wrong: the right exit code, the right words, and nothing left standing, here or there. */
const lab = useLab({ servers: 2 })

beforeAll(async () => {
  await labProfile(lab())
  await verb(lab(), ['provision', 'photos'])
  await verb(lab(), ['create', 'photos', '--confirm', 'photos'])
})

describe('up refuses', () => {
  test('a passphrase file that others can read: exit 9 and the command that closes it', async () => {
    await lab().client.run('chmod 644 /root/photos.pass')
    expect(await refusedUp(lab(), 9)).toContain('chmod 600 /root/photos.pass')
    await lab().client.run('chmod 600 /root/photos.pass')
  })

  test('another host key than the pinned one: exit 5, both fingerprints', async () => {
    const wrong = `SHA256:${'A'.repeat(43)}`
    const right = lab().server('gra').hostKeyFingerprint
    await labProfile(lab(), { changes: [[right, wrong]] })
    const said = await refusedUp(lab(), 5)
    expect(said).toContain(wrong)
    expect(said).toContain(right)
    await labProfile(lab())
  })
})
