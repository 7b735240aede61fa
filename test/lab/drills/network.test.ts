import { beforeAll, expect, test } from 'vitest'
import { leftOnClient, nothingLeft, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'
import {
  copyPhotos,
  everyFileIsRight,
  journal,
  saidSince,
  status,
  vaultUp,
  verdictBecomes,
  writeDuring,
} from './work.ts'

/**
 * The network between the client and its providers changes. fsn is reached through SSH; gra over the plain link, which
 * stands and falls with a firewall rule, and is served by nbdkit, whose delay filter makes a provider slow.
 */
const lab = useLab({ servers: 2, bystander: true })

const disk = '    disk: { file: /srv/cloudvault/photos.img, size: 512MiB }\n    link: ssh'
const plain = disk.replace('link: ssh', 'link: { plain: { port: 10809 } }\n    server: nbdkit')

beforeAll(() => vaultUp(lab(), { changes: [[disk, plain]] }), 600_000)

const gra = () => lab().server('gra')
/** However the drill before this one ended. */
const standing = async (): Promise<void> => {
  if ((await status(lab())).verdict === 'down') await verb(lab(), ['up', 'photos'])
}
const updates = 'cloudvault provision photos gra'

const said = async (before: string, words: RegExp, seconds: number): Promise<string> => {
  for (let waited = 0; waited < seconds; waited += 2) {
    const text = await saidSince(lab(), before)
    if (words.test(text)) return text
    await lab().client.run('sleep 2')
  }
  throw new Error(`the monitor did not say ${words}: ${await saidSince(lab(), before)}`)
}

const dropIn = '/etc/systemd/system/cv-photos-gra.service.d'
/** Its own unit, with nbdkit's delay filter: two seconds before every read and every write. */
const slow = `mkdir -p ${dropIn} && { echo '[Service]'; echo ExecStart=
  sed -n 's/^ExecStart=nbdkit \\(.*\\)$/ExecStart=nbdkit --filter=delay \\1 rdelay=2 wdelay=2/p' /etc/systemd/system/cv-photos-gra.service
} > ${dropIn}/slow.conf && systemctl daemon-reload && grep -q wdelay=2 ${dropIn}/slow.conf`

drill(26, lab, async () => {
  await standing()
  const files = await copyPhotos(lab(), 'fast')
  await verb(lab(), ['down', 'photos'])
  await gra().run(slow)
  const began = Date.now()
  await verb(lab(), ['up', 'photos'])
  const up = (Date.now() - began) / 1000
  expect((await gra().run('pgrep -fc wdelay=2')).stdout.trim()).not.toBe('0')
  const { files: written, worstMs } = await writeDuring(lab(), async () => {
    // More than fits into one request queue: all of it waits for the slow one at once.
    await lab().client.run(
      'dd if=/dev/urandom of=/vault/photos/big bs=1M count=24 conv=fsync status=none && sha256sum /vault/photos/big >> /tmp/sums',
      { deadlineMs: 600_000 },
    )
  })
  expect((await status(lab())).verdict).toBe('healthy')
  expect(worstMs).toBeGreaterThan(2000)
  await everyFileIsRight(lab())
  expect(await journal(lab())).not.toMatch(/lost|parked/)
  const before = Date.now()
  await verb(lab(), ['down', 'photos'])
  const down = (Date.now() - before) / 1000
  await gra().run(`rm -r ${dropIn} && systemctl daemon-reload`)
  await verb(lab(), ['up', 'photos'])
  await everyFileIsRight(lab())
  return `up ${up.toFixed(0)} s, ${written} small files and one of 24 MiB written (longest wait ${(worstMs / 1000).toFixed(0)} s), down ${down.toFixed(0)} s; never called lost, ${files} older files right`
})

drill(27, lab, async () => {
  await standing()
  const before = await journal(lab())
  const home = lab().client.address
  const { files, worstMs } = await writeDuring(lab(), async () => {
    await lab().client.setAddress('10.77.0.50')
    await said(before, /fsn: back after [\d.]+ s, nothing was missed/, 90)
    await said(before, /gra: parked/, 120)
  })
  // SSH goes on by itself; the plain link says what to type, everywhere where somebody may look.
  // A connection that nobody answers is given up after 20 s, and the monitor knows only then.
  await said(before, new RegExp(`gra: .*${updates}`), 90)
  expect(await saidSince(lab(), before)).not.toContain('fsn: parked')
  const degraded = await status(lab())
  expect(degraded.verdict).toBe('degraded')
  expect(degraded.next.join('\n')).toContain(updates)
  expect((await lab().client.cloudvault(['provision', 'photos', 'gra'])).stdout).toContain('firewall')
  await verdictBecomes(lab(), 'healthy', 180)
  await everyFileIsRight(lab())

  await verb(lab(), ['down', 'photos'])
  await lab().client.setAddress(home)
  const refused = await verb(lab(), ['up', 'photos'], 4)
  expect(refused.stderr).toContain(updates)
  expect(await leftOnClient(lab())).toEqual([])
  await verb(lab(), ['provision', 'photos', 'gra'])
  await verb(lab(), ['up', 'photos'])
  await everyFileIsRight(lab())
  return `${files} files without an error, longest wait ${(worstMs / 1000).toFixed(0)} s; ssh reconnected itself, plain after provision; up says so with exit 4 (a WireGuard link goes on by itself: test/lab/links.test.ts)`
})

drill(29, lab, async () => {
  await standing()
  await copyPhotos(lab(), 'before')
  await verb(lab(), ['down', 'photos'])
  const { address } = gra()
  const open = async () => (await lab().bystander?.reach(address, 10809))?.reach
  // Flushed: the rule is there again before anything is served.
  await gra().run('nft flush ruleset')
  await verb(lab(), ['up', 'photos'])
  expect(await open()).toBe('silent')
  await verb(lab(), ['down', 'photos'])

  // Flushed and lost: nothing is served without it.
  await gra().run('nft flush ruleset && mv /etc/cloudvault/cv-photos-gra/firewall.nft /root/')
  const unprotected = await verb(lab(), ['up', 'photos'], 5)
  expect(unprotected.stderr).toContain("gra: the server's firewall does not protect the export's port")
  expect(unprotected.stderr).toContain(updates)
  expect(await open()).not.toBe('open')
  await nothingLeft(lab())
  await verb(lab(), ['provision', 'photos', 'gra'])

  // Another host key: refused at once, without a question, although a terminal is there to ask on.
  await gra().run(
    'mkdir /root/keys && mv /etc/ssh/ssh_host_* /root/keys/ && ssh-keygen -q -A && systemctl restart ssh',
  )
  const asked = lab().client.start(lab().client.cloudvaultArgv(['up', 'photos']), { tty: true })
  const impostor = await asked.wait()
  expect(impostor.code).toBe(5)
  expect(impostor.stdout).toContain('the server shows another host key')
  expect(impostor.stdout).not.toContain('?')
  await nothingLeft(lab())
  await gra().run(
    'rm /etc/ssh/ssh_host_* && mv /root/keys/* /etc/ssh/ && rmdir /root/keys && systemctl restart ssh',
  )
  await verb(lab(), ['up', 'photos'])
  await everyFileIsRight(lab())
  return 'flushed: loaded again first; lost: exit 5, the port stays shut; another host key: exit 5, no question; nothing was mounted (a TLS link whose certificate is too old or another: exit 5, test/lab/links.test.ts)'
})

test('down, and nothing is left', async () => {
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
})
