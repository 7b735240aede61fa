import { beforeAll, expect } from 'vitest'
import { canary, labProfile, nothingLeft, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'
import { journal, status, stillWhole, vaultAtRest, verdictBecomes, writeDuring } from './work.ts'

/** What goes wrong on my own machine: its disk, its clock, its modules, my fingers. */
const lab = useLab({ servers: 2 })
const state = '/var/lib/cloudvault'
const patience: readonly (readonly [string, string])[] = [['patience: 30s', 'patience: 12s']]

beforeAll(async () => {
  await vaultAtRest(lab(), { size: '256MiB', changes: patience })
}, 900_000)

/** Everything of the state directory but the lock, in one sum. */
const stateSum = async (): Promise<string> =>
  (
    await lab().client.run(
      `cd ${state} && find . -type f ! -name lock ! -name filler | sort | xargs sha256sum`,
    )
  ).stdout

const fill = `dd if=/dev/zero of=${state}/filler bs=4k oflag=append conv=notrunc 2>/dev/null`

/** The state directory on a small file system of its own, while the work is done. */
const onSmallDisk = async (work: () => Promise<void>): Promise<void> => {
  await lab().client.run(
    `cp -a ${state}/photos /root/kept && mount -t tmpfs -o size=48m tmpfs ${state} && cp -a /root/kept ${state}/photos && rm -r /root/kept`,
  )
  try {
    await work()
  } finally {
    await lab().client.run(
      `cp -a ${state}/photos /root/kept && umount ${state} && rm -r ${state}/photos && mv /root/kept ${state}/photos`,
    )
  }
}

const refuses = async (verbs: readonly string[], words: string): Promise<void> => {
  const before = await stateSum()
  for (const name of verbs) {
    const confirm = name === 'create' ? ['--confirm', 'photos'] : []
    const { stderr } = await verb(lab(), [name, 'photos', ...confirm], 3)
    expect(stderr).toContain(`the state directory ${state}/photos cannot be written: ${words}`)
    expect(stderr).toContain('nothing was changed')
    expect(stderr).toMatch(/next: (df -h|findmnt -T) \/var\/lib\/cloudvault\/photos/)
  }
  expect(await stateSum()).toBe(before)
}

/** No room and no right to write, before anything is begun and in the middle. */
const fullAndReadOnly = (): Promise<void> =>
  onSmallDisk(async () => {
    await lab().client.run(`${fill}; true`)
    await refuses(['up', 'create', 'down'], 'no space is left')
    await nothingLeft(lab())
    await lab().client.run(`rm ${state}/filler && mount -o remount,ro ${state}`)
    await refuses(['up', 'create', 'down'], 'its file system is read-only')
    await nothingLeft(lab())
    await lab().client.run(`mount -o remount,rw ${state}`)
    // Full from the moment at which the links stand.
    const filling = lab().client.start(
      `until grep -q '"attach' ${state}/photos/receipt.json; do sleep 0.05; done; for i in $(seq 200); do ${fill}; sleep 0.05; done`,
    )
    const { stderr } = await verb(lab(), ['up', 'photos'], 3)
    expect(stderr).toMatch(/the (receipt|record) .* cannot be written: no space is left/)
    expect(stderr).toContain('nothing of this run is left behind')
    await filling.stop()
    await nothingLeft(lab())
    await lab().client.run(`rm ${state}/filler`)
    await verb(lab(), ['up', 'photos'])
    await lab().client.run(`${fill}; true`)
    await refuses(['down'], 'no space is left')
    expect((await status(lab())).verdict).toBe('healthy')
    await lab().client.run(`rm ${state}/filler`)
    await verb(lab(), ['down', 'photos'])
    await nothingLeft(lab())
  })

/** What a record says of who is who; the rest are times. */
const identities = async (): Promise<object> => {
  const { fsid, members, generation, phase } = JSON.parse(
    await lab().client.readFile(`${state}/photos/record.json`),
  )
  return { fsid, members, generation, phase }
}

const recordLost = async (): Promise<void> => {
  const record = `${state}/photos/record.json`
  const known = await identities()
  await lab().client.run(`cp ${record} /root/record.json && rm ${record}`)
  expect((await verb(lab(), ['up', 'photos'], 3)).stderr).toContain('cloudvault discover photos')
  const header = `${state}/photos/headers/gra.luks`
  await lab().client.run(`cp ${header} /root/header && cp ${state}/photos/headers/fsn.luks ${header}`)
  const foreign = await verb(lab(), ['discover', 'photos', '--confirm', 'photos'], 5)
  expect(foreign.stderr).toContain('gra holds no filesystem that opens with its header')
  await lab().client.run(`cp /root/header ${header}`)
  const asked = await verb(lab(), ['discover', 'photos'], 2)
  expect(asked.stdout).toContain('What cannot be known: whether this is the newest state')
  expect(asked.stderr).toContain('--confirm photos')
  await lab().client.run(`test ! -e ${record}`)
  await nothingLeft(lab())
  await verb(lab(), ['discover', 'photos', '--confirm', 'photos'])
  await nothingLeft(lab())
  expect(await identities()).toEqual(known)
  const again = await verb(lab(), ['discover', 'photos'])
  expect(again.stdout).toContain('there is nothing to discover')
  await lab().client.run(`echo '{' > ${record}`)
  expect((await verb(lab(), ['up', 'photos'], 5)).stderr).toContain('cloudvault discover photos')
  await lab().server('gra').kill()
  const away = await verb(lab(), ['discover', 'photos', '--confirm', 'photos'], 4)
  expect(away.stderr).toContain('cloudvault discover photos (when all servers answer)')
  await lab().server('gra').start()
  await verb(lab(), ['discover', 'photos', '--confirm', 'photos'])
  expect(await identities()).toEqual(known)
}

const receiptLost = async (): Promise<void> => {
  const receipt = `${state}/photos/receipt.json`
  await verb(lab(), ['up', 'photos'])
  await lab().client.run(`rm ${receipt}`)
  expect((await verb(lab(), ['up', 'photos'])).stdout).toContain('photos is already up')
  await lab().client.run(`echo '{"schema":' > ${receipt}`)
  const down = await verb(lab(), ['down', 'photos'])
  expect(down.stderr).toContain(`${receipt} was unreadable and counts as lost`)
  expect(down.stdout).toContain('everything that was written is on every server')
  await nothingLeft(lab())
}

drill(38, lab, async () => {
  await fullAndReadOnly()
  await recordLost()
  await receiptLost()
  const files = await stillWhole(lab())
  return `full, read-only, full in the middle: exit 3, nothing begun or left; record made anew by discover, the same to the last identity; down without a receipt; ${files} files right`
})

/** Sets the guest's clock; the machine's own clock is the true one. */
const setClock = (seconds: number) =>
  lab().client.run(`date -s @${Math.floor(Date.now() / 1000) + seconds} > /dev/null`)
const aYear = 365 * 24 * 3600

const clockJumps = async (): Promise<string> => {
  await verb(lab(), ['up', 'photos'])
  let parkedAfter = 0
  const { files } = await writeDuring(lab(), async () => {
    await lab().server('gra').cutLink()
    for (let looks = 0; looks < 60 && !(await journal(lab())).includes('gra: the link is lost'); looks++)
      await lab().client.run('sleep 1')
    const lost = performance.now()
    await setClock(-aYear)
    for (let looks = 0; looks < 60 && !(await journal(lab())).includes('gra: parked'); looks++)
      await lab().client.run('sleep 1')
    parkedAfter = (performance.now() - lost) / 1000
    await lab().server('gra').restoreLink()
    await verdictBecomes(lab(), 'healthy', 240)
  })
  expect(parkedAfter).toBeLessThan(40)
  await verb(lab(), ['down', 'photos'])
  await stillWhole(lab())
  await setClock(0)
  await stillWhole(lab())
  return `${files} files written while the clock jumped a year back, parked ${Math.round(parkedAfter)} s after the silence was heard`
}

const threeTypos = async (): Promise<void> => {
  for (const typo of ['canary', `${canary} `, 'hunter2']) {
    await lab().client.putFile('/root/photos.pass', typo, 0o600)
    const { stderr } = await verb(lab(), ['up', 'photos'], 9)
    expect(stderr).toContain('the passphrase does not open the keyring')
    expect(stderr).toContain('there is no lock-out')
  }
  await nothingLeft(lab())
  await labProfile(lab(), { size: '256MiB', changes: patience })
}

const moduleMissing = async (): Promise<void> => {
  const folder = '/lib/modules/$(uname -r)'
  for (const [name, file] of [
    ['nbd', 'nbd.ko'],
    ['dm_crypt', 'dm-crypt.ko'],
  ]) {
    const hidden = `find ${folder} -name '${file}*' | tee /root/module | xargs -I{} mv {} /root/hidden.ko`
    await lab().client.run(`modprobe -r ${name}; ${hidden}; depmod`)
    const { stderr } = await verb(lab(), ['up', 'photos'], 3)
    await lab().client.run('mv /root/hidden.ko $(cat /root/module); depmod')
    expect(stderr).toContain(`the kernel module ${name} cannot be loaded`)
    expect(stderr).toContain('apt-get install linux-image')
    await nothingLeft(lab())
  }
}

drill(40, lab, async () => {
  const clock = await clockJumps()
  await threeTypos()
  await moduleMissing()
  const files = await stillWhole(lab())
  return `${clock}; exit 9 three times and no lock-out; exit 3 without nbd, without dm_crypt; ${files} files right`
})
