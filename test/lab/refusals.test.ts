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

  const state = '/var/lib/cloudvault/photos'
  /** Damages a file of this machine, looks at the refusal, and puts the file back as it was. */
  const refusedWithout = async (file: string, damage: string, code: number): Promise<string> => {
    await lab().client.run(`cp -a ${file} /root/saved && ${damage}`)
    try {
      return await refusedUp(code)
    } finally {
      await lab().client.run(`cp -a /root/saved ${file}`)
    }
  }

  test("another member's header: exit 5, because what it shows is not this vault's disk", async () => {
    const [fsn, gra] = [`${state}/headers/fsn.luks`, `${state}/headers/gra.luks`]
    const said = await refusedWithout(fsn, `cp ${gra} ${fsn}`, 5)
    expect(said).toContain("fsn does not serve this vault's disk")
  })

  test('a header that is damaged or gone: exit 5 and the recovery kit', async () => {
    const header = `${state}/headers/fsn.luks`
    const garble = (bytes: string) => `dd if=/dev/urandom of=${header} ${bytes} conv=notrunc status=none`
    // Both copies of the metadata; what the key slot holds; the file itself.
    for (const [damage, why] of [
      [garble('bs=32K count=1'), 'cryptsetup cannot read it'],
      [garble('bs=4K seek=8 count=64'), 'the vault key does not open the header of fsn'],
      [`rm ${header}`, 'cryptsetup cannot read it'],
    ] as const) {
      const said = await refusedWithout(header, damage, 5)
      expect(said).toContain(why)
      expect(said).toContain(`restore ${header} from the recovery kit`)
    }
  })

  test('a header that asks for another cipher: exit 5 before it is opened', async () => {
    const header = `${state}/headers/fsn.luks`
    const remake =
      `printf key | cryptsetup luksFormat --batch-mode --type luks2 --cipher aes-cbc-essiv:sha256 --key-size 256 ` +
      `--sector-size 4096 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file=- ${header}`
    const said = await refusedWithout(header, remake, 5)
    expect(said).toContain('the header of fsn was refused: its cipher is aes-cbc-essiv:sha256')
  })

  test('a keyring that is damaged or gone: exit 3 and the recovery kit', async () => {
    const keyring = `${state}/keys.luks`
    for (const damage of [
      `dd if=/dev/urandom of=${keyring} bs=32K count=1 conv=notrunc status=none`,
      `rm ${keyring}`,
    ]) {
      const said = await refusedWithout(keyring, damage, 3)
      expect(said).toContain('restore it from the recovery kit')
    }
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
})
