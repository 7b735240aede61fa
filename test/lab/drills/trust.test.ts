import { copyFile, stat } from 'node:fs/promises'
import { beforeAll, expect, test } from 'vitest'
import type { LabServer } from '../../../lab/index.ts'
import { nothingLeft, refusedUp, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'
import { asPrinted, measured, plant } from './home.ts'
import { copyPhotos, stillWhole, vaultUp } from './work.ts'

/** What somebody plants or damages, on a server or at home: refused before anything is touched. Down is where each drill begins and ends. */
const lab = useLab({ servers: 2 })
const [fsn, gra] = [() => lab().server('fsn'), () => lab().server('gra')]
const disk = '/srv/cloudvault/photos.img'
const state = '/var/lib/cloudvault/photos'
const header = `${state}/headers/fsn.luks`
const keyring = `${state}/keys.luks`

beforeAll(async () => {
  await vaultUp(lab(), { size: '256MiB' })
  await copyPhotos(lab())
  await verb(lab(), ['kit', 'photos', '--to', '/root/usb'])
  await verb(lab(), ['down', 'photos'])
}, 900_000)

const sums = (): Promise<string[]> =>
  Promise.all(
    lab().servers.map(async (server) => (await server.run(`sha256sum < ${disk}`)).stdout.slice(0, 64)),
  )

/** What this machine knows of the vault, in one sum; the lock, the log and the receipt, which every `up` writes, are no knowledge. */
const knowledge = async (): Promise<string> => {
  const files = 'find . -type f ! -name lock ! -name receipt.json ! -name "*.log" | sort | xargs sha256sum'
  return (await lab().client.run(`cd ${state} && ${files} | sha256sum`)).stdout
}

/** Puts another file in the place of a server's disk, with its owner and mode. */
const serve = async (server: LabServer, from: string): Promise<void> => {
  await copyFile(from, `${server.root}${disk}`)
  await server.run(`chown --reference=${disk}.own ${disk}; chmod --reference=${disk}.own ${disk}`)
}
const setAside = (server: LabServer) => server.run(`mv ${disk} ${disk}.own`)
const putBack = (server: LabServer) => server.run(`mv ${disk}.own ${disk}`)

/** Damages a file of this machine, looks at what is said, and puts the file back as it was. */
const damaged = async (file: string, damage: () => Promise<unknown>, code: number): Promise<string> => {
  await lab().client.run(`cp -a ${file} /root/saved`)
  try {
    await damage()
    return await refusedUp(lab(), code)
  } finally {
    await lab().client.run(`cp -a /root/saved ${file}`)
  }
}

drill(16, lab, async () => {
  const [known, own] = [await knowledge(), await sums()]
  for (const server of lab().servers) await setAside(server)
  await serve(fsn(), `${gra().root}${disk}.own`)
  await serve(gra(), `${fsn().root}${disk}.own`)
  const before = await sums()
  const said = await refusedUp(lab(), 5)
  expect(said).toContain("fsn and gra do not serve this vault's disks")
  expect(await sums()).toEqual(before)
  for (const server of lab().servers) await putBack(server)
  expect(await sums()).toEqual(own)
  expect(await knowledge()).toBe(known)
  return 'exit 5 naming both; both images, and all that this machine knows, identical by SHA-256'
})

drill(17, lab, async () => {
  const canary = 'canary-of-a-null-cipher-71d2'
  // The strongest attacker: the disk holds the plain filesystem, the header says that this is how it is stored.
  const plain = `${fsn().root}${disk}.plain`
  await verb(lab(), ['up', 'photos', '--read-only'])
  const copy = `dd if=/dev/mapper/cv-photos-fsn of=${lab().client.hostPath(plain)} bs=1M status=none`
  await lab().client.run(copy, { deadlineMs: 300_000 })
  await verb(lab(), ['down', 'photos'])
  await setAside(fsn())
  await serve(fsn(), plain)
  const before = await sums()
  const nullCipher = { segments: { 0: { encryption: 'cipher_null-ecb' } } }
  const said = await damaged(header, () => plant(lab(), header, nullCipher), 5)
  expect(said).toContain('the header of fsn was refused: its cipher is cipher_null-ecb')
  expect(await sums()).toEqual(before)
  // The header on the provider's disk instead, where a tool that looks for one would find it.
  await serve(fsn(), `${fsn().root}${disk}.own`)
  await lab().client.run(`cp ${header} /root/planted`)
  await plant(lab(), '/root/planted', nullCipher)
  const planted = await lab().client.run(
    `cp /root/planted ${lab().client.hostPath(`${fsn().root}${disk}.header`)}`,
  )
  expect(planted.code).toBe(0)
  await fsn().run(`dd if=${disk}.header of=${disk} conv=notrunc bs=1M status=none`)
  const withHeader = await sums()
  expect(await refusedUp(lab(), 5)).toContain("fsn does not serve this vault's disk")
  expect(await sums()).toEqual(withHeader)
  await fsn().run(`rm ${disk}.plain ${disk}.header`)
  await putBack(fsn())
  await verb(lab(), ['up', 'photos'])
  await lab().client.run(`echo ${canary} > /vault/photos/canary && sync -f /vault/photos`)
  await verb(lab(), ['down', 'photos'])
  for (const server of lab().servers) {
    const found = await server.run(`LC_ALL=C grep -a -c -F ${canary} ${disk} || true`)
    expect(found.stdout.trim()).toBe('0')
  }
  const files = await stillWhole(lab())
  return `exit 5 both times, images unchanged by SHA-256; the canary is on neither disk; ${files} files right`
})

/** Asks that no header of ours makes, and what each does to whoever believes it. */
const greedy: readonly (readonly [string, object])[] = [
  ['a re-encryption', { config: { requirements: { mandatory: ['online-reencrypt-v2'] } } }],
  [
    '4 GiB of memory',
    { keyslots: { 0: { kdf: { type: 'argon2id', time: 4, memory: 4_194_304, cpus: 4 } } } },
  ],
  ['4,000,000,000 iterations', { keyslots: { 0: { kdf: { iterations: 4_000_000_000 } } } }],
  ['a key slot outside of the header', { keyslots: { 0: { area: { offset: '9999998976' } } } }],
]

drill(18, lab, async () => {
  const [known, own] = [await knowledge(), await sums()]
  const worst = { seconds: 0, mebibytes: 0 }
  for (const file of [header, keyring])
    for (const [what, patch] of greedy) {
      await lab().client.run(`cp -a ${file} /root/saved`)
      await plant(lab(), file, patch)
      const seen = await measured(lab(), ['up', 'photos'])
      await lab().client.run(`cp -a /root/saved ${file}`)
      expect(`${what}: exit ${seen.code}`).toBe(`${what}: exit 5`)
      expect(seen.stderr).toContain('cloudvault restore-kit /root/usb/photos-recovery-kit.tar')
      expect(seen.stderr).toContain('nothing was contacted or changed')
      expect(seen.mebibytes).toBeLessThan(200)
      worst.seconds = Math.max(worst.seconds, seen.seconds)
      worst.mebibytes = Math.max(worst.mebibytes, seen.mebibytes)
    }
  await nothingLeft(lab())
  expect(await sums()).toEqual(own)
  expect(await knowledge()).toBe(known)
  return `${greedy.length} asks in a header and in the keyring: refused in ${worst.seconds.toFixed(1)} s and ${Math.ceil(worst.mebibytes)} MiB at most, nobody contacted; both images and all that this machine knows identical by SHA-256`
})

const flip = (file: string, at: number): Promise<unknown> =>
  lab().client.run(
    `perl -e 'open F, "+<", $ARGV[0]; seek F, $ARGV[1], 0; read F, $b, 1; seek F, $ARGV[1], 0; print F $b ^ "\\x01"' ${file} ${at}`,
  )
const cut = (file: string) => lab().client.run(`truncate -s 10000 ${file}`)

/** In the first of the two copies of the metadata; in what the key slot holds. */
const [inFirstCopy, copyBytes, inKeySlot] = [4200, 16_384, 40_000]

drill(19, lab, async () => {
  // LUKS2 keeps its metadata twice.
  await lab().client.run(`cp ${header} /root/whole`)
  await flip(header, inFirstCopy)
  await stillWhole(lab())
  await flip(header, inFirstCopy + copyBytes) // harmless again only if the first one was mended
  const metadata = (file: string) => lab().client.run(`cryptsetup luksDump --dump-json-metadata ${file}`)
  expect((await metadata(header)).stdout).toBe((await metadata('/root/whole')).stdout)
  await lab().client.run(`cp /root/whole ${header}`)
  const cases = [
    [header, (file: string) => flip(file, inKeySlot), 5, 'the vault key does not open the header of fsn'],
    [header, cut, 5, 'the header of fsn was refused'],
    [header, (file: string) => lab().client.run(`rm ${file}`), 5, 'the header of fsn was refused'],
    [keyring, (file: string) => flip(file, inKeySlot), 9, 'the passphrase does not open the keyring'],
    [keyring, cut, 5, 'was refused: cryptsetup cannot read it'],
    [keyring, (file: string) => lab().client.run(`rm ${file}`), 3, 'is not on this machine'],
  ] as const
  for (const [file, damage, code, words] of cases) {
    await lab().client.run(`cp ${file} /root/whole`)
    await damage(file)
    const said = await refusedUp(lab(), code)
    expect(said).toContain(words)
    await asPrinted(lab(), said)
    await lab().client.run(`cmp ${file} /root/whole`)
  }
  const again = await stillWhole(lab())
  // Another machine, with the kit and the passphrase and nothing else.
  await lab().client.run(
    `mkdir /root/lost && mv /var/lib/cloudvault /root/lost/state && mv /etc/cloudvault /root/lost/etc`,
  )
  expect((await verb(lab(), ['up', 'photos'], 2)).stderr).toContain('cloudvault restore-kit')
  await verb(lab(), ['restore-kit', '/root/usb/photos-recovery-kit.tar'])
  const files = await stillWhole(lab())
  await lab().client.run('rm -r /root/lost')
  expect(files).toBe(again)
  return `a flipped bit in one of two copies mends itself; ${cases.length} other damages named and undone by the command printed; kit and passphrase alone on an empty machine: ${files} files right`
})

drill(20, lab, async () => {
  const size = (await stat(`${fsn().root}${disk}`)).size
  for (const [change, undo, words] of [
    [`truncate -s -4096 ${disk}`, '', `its size is ${size - 4096} bytes instead of ${size}`],
    [`truncate -s +4096 ${disk}`, '', `its size is ${size + 4096} bytes instead of ${size}`],
    [`chmod 0440 ${disk}`, `chmod 0600 ${disk}`, 'it is read-only'],
  ] as const) {
    await fsn().run(change)
    const said = await refusedUp(lab(), 5)
    expect(said).toContain(`the export of fsn was refused: ${words}`)
    expect(said).toContain('the kernel was not given this connection')
    expect(said).not.toMatch(/open fsn/)
    // Only what lies behind the end is lost or new: the vault never wrote there.
    await fsn().run(`truncate -s ${size} ${disk}; ${undo || 'true'}`)
  }
  const files = await stillWhole(lab())
  return `smaller, larger, read-only: exit 5 each before LUKS was opened; ${files} files right`
})

test('after all of it every file is right, and nothing is left', async () => {
  await stillWhole(lab())
})
