import { beforeAll, describe, expect, test } from 'vitest'
import { labProfile, leftOnClient, leftOnServer, useLab, verb } from './support.ts'

/** `up` when something is wrong: the right exit code, the right words, and nothing left standing, here or there. */
const lab = useLab({ servers: 2 })

const refusedUp = async (code: number): Promise<string> => {
  const refused = await verb(lab(), ['up', 'photos'], code)
  expect(await leftOnClient(lab())).toEqual([])
  for (const server of lab().servers) if (server.running) expect(await leftOnServer(server)).toEqual([])
  return refused.stderr
}

beforeAll(async () => {
  await labProfile(lab())
  await verb(lab(), ['provision', 'photos'])
  await verb(lab(), ['create', 'photos', '--confirm', 'photos'])
})

describe('up refuses', () => {
  test('a wrong passphrase: exit 9, no lock-out', async () => {
    await lab().client.putFile('/root/photos.pass', 'something else', 0o600)
    expect(await refusedUp(9)).toContain('the passphrase does not open the keyring')
    await labProfile(lab())
  })

  test('a passphrase file that others can read: exit 9 and the command that closes it', async () => {
    await lab().client.run('chmod 644 /root/photos.pass')
    expect(await refusedUp(9)).toContain('chmod 600 /root/photos.pass')
    await lab().client.run('chmod 600 /root/photos.pass')
  })

  test('another host key than the pinned one: exit 5, both fingerprints', async () => {
    const wrong = `SHA256:${'A'.repeat(43)}`
    const right = lab().server('gra').hostKeyFingerprint
    await labProfile(lab(), { changes: [[right, wrong]] })
    const said = await refusedUp(5)
    expect(said).toContain(wrong)
    expect(said).toContain(right)
    await labProfile(lab())
  })

  test('a missing kernel module: exit 3 and what to install', async () => {
    const folder = '/lib/modules/$(uname -r)'
    await lab().client.run(`modprobe -r nbd; find ${folder} -name 'nbd.ko*' -exec mv {} /root/ \\; ; depmod`)
    const said = await refusedUp(3)
    expect(said).toContain('the kernel module nbd cannot be loaded')
    await lab().client.run(`mv /root/nbd.ko* ${folder}/kernel/drivers/block/; depmod`)
  })

  test('a header that was changed: exit 5 before it is opened', async () => {
    const header = '/var/lib/cloudvault/photos/headers/fsn.luks'
    await lab().client.run(
      `cp ${header} /root/saved && cp /var/lib/cloudvault/photos/headers/gra.luks ${header}`,
    )
    expect(await refusedUp(5)).toContain('fsn')
    await lab().client.run(
      `cp /root/saved ${header} && printf x | dd of=${header} bs=1 seek=5000 conv=notrunc status=none`,
    )
    await lab().client.run(`cp /root/saved ${header}`)
  })

  test('exports that were swapped: exit 5, and neither disk is touched', async () => {
    const disk = '/srv/cloudvault/photos.img'
    const [fsn, gra] = [lab().server('fsn'), lab().server('gra')]
    const sums = async () =>
      Promise.all([fsn, gra].map(async (s) => (await s.run(`sha256sum < ${disk}`)).stdout))
    const swap = async () => {
      await fsn.run(`mv ${disk} ${disk}.own`)
      await gra.run(`mv ${disk} ${disk}.own`)
      const { copyFile } = await import('node:fs/promises')
      for (const [to, from] of [
        [fsn, gra],
        [gra, fsn],
      ] as const) {
        await copyFile(`${from.root}${disk}.own`, `${to.root}${disk}`)
        await to.run(`chown --reference=${disk}.own ${disk}; chmod --reference=${disk}.own ${disk}`)
      }
    }
    await swap()
    const before = await sums()
    expect(await refusedUp(5)).toContain("does not serve this vault's disk")
    expect(await sums()).toEqual(before)
    for (const server of [fsn, gra]) await server.run(`mv ${disk}.own ${disk}`)
  })

  test('an export of another size: exit 5 before the kernel gets it', async () => {
    const disk = '/srv/cloudvault/photos.img'
    await lab().server('fsn').run(`cp --sparse=always -a ${disk} ${disk}.own && truncate -s -4096 ${disk}`)
    expect(await refusedUp(5)).toMatch(/its size is \d+ bytes instead of \d+/)
    await lab().server('fsn').run(`mv ${disk}.own ${disk}`)
  })

  test('an old copy on one server: exit 7; an old copy on all: exit 5', async () => {
    const disk = '/srv/cloudvault/photos.img'
    for (const server of lab().servers) await server.run(`cp --sparse=always -a ${disk} ${disk}.old`)
    await verb(lab(), ['up', 'photos'])
    await lab().client.run('date > /vault/photos/newer && sync')
    await verb(lab(), ['down', 'photos'])
    for (const server of lab().servers) await server.run(`cp --sparse=always -a ${disk} ${disk}.new`)
    await lab().server('fsn').run(`cp -a ${disk}.old ${disk}`)
    expect(await refusedUp(7)).toContain('fsn is behind generation')
    await lab().server('gra').run(`cp -a ${disk}.old ${disk}`)
    expect(await refusedUp(5)).toContain('an old copy')
    for (const server of lab().servers) await server.run(`mv ${disk}.new ${disk}; rm ${disk}.old`)
    await verb(lab(), ['up', 'photos'])
    await verb(lab(), ['down', 'photos'])
  })

  test('a member that is off: exit 7 with the choices; all of them: exit 4', async () => {
    await lab().server('gra').kill()
    const said = await refusedUp(7)
    expect(said).toContain('gra')
    expect(said).toContain('--degraded=ro')
    await lab().server('fsn').kill()
    await refusedUp(4)
    await Promise.all(lab().servers.map((server) => server.start()))
    await verb(lab(), ['up', 'photos'])
    await verb(lab(), ['down', 'photos'])
  })
})
