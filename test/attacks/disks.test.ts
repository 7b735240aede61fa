import { copyFile } from 'node:fs/promises'
import { beforeAll, expect } from 'vitest'
import { asPrinted } from '../lab/drills/home.ts'
import { copyPhotos, everyFileIsRight, stillWhole, vaultUp } from '../lab/drills/work.ts'
import { canary, refusedUp, useLab, verb } from '../lab/support.ts'
import { attack } from './attack.ts'

/** Old or foreign things in the place of the right ones: headers, keyrings, disks. Down is where each attack begins and ends. */
const lab = useLab({ servers: 2 })
const [fsn, gra] = [() => lab().server('fsn'), () => lab().server('gra')]
const disk = '/srv/cloudvault/photos.img'
const state = '/var/lib/cloudvault/photos'
const keyring = `${state}/keys.luks`
const sh = (script: string) => lab().client.run(script)

beforeAll(async () => {
  await vaultUp(lab(), { size: '256MiB' })
  await copyPhotos(lab())
  await verb(lab(), ['kit', 'photos', '--to', '/root/usb'])
  await verb(lab(), ['down', 'photos'])
}, 900_000)

/** What the error says, without what was done before it. */
const lineOf = (said: string): string =>
  said
    .split('\n')
    .findLast((line) => /^[x✖] /.test(line))
    ?.slice(2) ?? said

attack(2, lab, async () => {
  const [own, other] = [`${state}/headers/fsn.luks`, `${state}/headers/gra.luks`]
  await sh(`cp -a ${own} /root/saved && cp ${other} ${own}`)
  const before = (await fsn().run(`sha256sum ${disk}`)).stdout
  const said = await refusedUp(lab(), 5)
  await sh(`cp -a /root/saved ${own}`)
  expect(said).toContain(
    "fsn does not serve this vault's disk: it holds no filesystem that opens with this header",
  )
  expect((await fsn().run(`sha256sum ${disk}`)).stdout).toBe(before)
  const files = await stillWhole(lab())
  return `exit 5 "${lineOf(said)}"; its disk is unchanged by SHA-256; ${files} files right with its own header`
})

attack(5, lab, async () => {
  const changed = 'another-passphrase-9c41'
  const passphrase = (text: string) => lab().client.putFile('/root/photos.pass', text, 0o600)
  await sh(`cp -a ${keyring} /root/old.luks && cp -a /root/usb/photos-recovery-kit.tar /root/old.tar`)
  await lab().client.putFile('/root/new.pass', changed, 0o600)
  await verb(lab(), ['key', 'change', 'photos', '--new', 'file:/root/new.pass'])
  // The old file, and the old passphrase that goes with it: what somebody has who once saw both.
  await sh(`cp -a /root/old.luks ${keyring}`)
  const said = await refusedUp(lab(), 5)
  expect(said).toContain('is an old one: it was changed')
  for (const words of [
    ['key', 'change', 'photos', '--new', 'file:/root/new.pass'],
    ['kit', 'photos', '--to', '/root/usb2'],
  ])
    expect((await verb(lab(), words, 5)).stderr).toContain('is an old one')
  await refusedUp(lab(), 5, '--read-only')
  // The kit was written anew with the change; what the error prints brings the right one back.
  await asPrinted(lab(), said)
  expect(await refusedUp(lab(), 9)).toContain('the passphrase does not open the keyring')
  await passphrase(changed)
  const files = await stillWhole(lab())
  // An old kit put back on purpose: a person has said so, with the vault's name.
  await verb(lab(), ['restore-kit', '/root/old.tar', '--only', 'keys.luks', '--confirm', 'photos'])
  await passphrase(canary)
  await stillWhole(lab())
  return `exit 5 "${lineOf(said)}", the printed command brought the right one back, the old passphrase opens nothing (exit 9); ${files} files right`
})

attack(11, lab, async () => {
  const old = `${gra().root}${disk}.old`
  await copyFile(`${gra().root}${disk}`, old)
  await verb(lab(), ['up', 'photos'])
  await copyPhotos(lab(), 'newer')
  await verb(lab(), ['down', 'photos'])
  await gra().run(`mv ${disk} ${disk}.new && mv ${disk}.old ${disk}`)
  await gra().run(`chown --reference=${disk}.new ${disk}; chmod --reference=${disk}.new ${disk}`)
  await fsn().kill()
  const before = (await gra().run(`sha256sum ${disk}`)).stdout
  await refusedUp(lab(), 7)
  const said = await refusedUp(lab(), 5, '--degraded=rw')
  expect(said).toMatch(/all servers hold an old copy: generation \d+ < recorded \d+/)
  expect(await refusedUp(lab(), 5, '--degraded=ro')).toContain('hold an old copy')
  expect((await gra().run(`sha256sum ${disk}`)).stdout).toBe(before)
  await fsn().start()
  await gra().run(`mv ${disk}.new ${disk}`)
  await verb(lab(), ['up', 'photos'])
  const files = await everyFileIsRight(lab())
  await verb(lab(), ['down', 'photos'])
  return `exit 7, then exit 5 "${lineOf(said)}" for --degraded=rw and =ro; its disk is unchanged; ${files} files right with both`
})
