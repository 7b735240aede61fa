import { beforeAll, expect, test } from 'vitest'
import { networkThatGoes, type Reboot, rebootInUse } from '../drills/reboot.ts'
import { copyPhotos, everyFileIsRight, status, vaultUp, verdictBecomes } from '../drills/work.ts'
import { leftOnServer, nothingLeft, useLab, verb } from '../support.ts'

/**
 * A client with systemd goes down while its vault is in use over every kind of link that is more than SSH (for that one
 * see drill 36): each link ends after the unmount and its proof, and before the network. One vault whose four members,
 * two to a server, each have another.
 */
const lab = useLab({ servers: 2, init: 'systemd' })
const minutes = 60_000

const links = {
  fsn: 'tls',
  gra: '{ tls: { port: 443, auth: x509 } }',
  fsnwg: 'wireguard',
  graip: '{ ipsec: { port: 4511 } }',
}
const names = Object.keys(links)

beforeAll(async () => {
  const second = (name: 'fsnwg' | 'graip', host: string): string => `
  - name: ${name}
    provider: ${name}
    ssh: vps-${host}
    host_key: ${lab().server(host).hostKeyFingerprint}
    disk: { file: /srv/cloudvault/${name}.img, size: 256MiB }
    link: ${links[name]}
    patience: 30s
`
  await networkThatGoes(lab())
  await vaultUp(lab(), {
    size: '256MiB',
    changes: [
      ['    link: ssh                     #', `    link: ${links.fsn}   #`],
      ['    link: ssh\n', `    link: ${links.gra}\n`],
      [
        'members:  ',
        `allow_same_provider: true\nmembers:   # two to a server${second('fsnwg', 'fsn')}${second('graip', 'gra')}#`,
      ],
    ],
  })
  await copyPhotos(lab())
}, 20 * minutes)

/** What systemd says of the four units of this machine: each ended when nothing was mounted, and while there was a network. */
const linksEndedLast = ({ at, journal }: Reboot): string => {
  const unmounted = at('Unmounted vault-photos.mount')
  const after = names.map((name) => {
    const stopping = at(`Stopping cv-photos-${name}-link.service`)
    expect(stopping).toBeGreaterThan(unmounted)
    expect(at(`Stopped cv-photos-${name}-link.service`)).toBeLessThan(at('Stopping lab-network.service'))
    return `${name} ${(stopping - unmounted).toFixed(1)} s`
  })
  // None ended twice, or by itself, and the filesystem met no error. (`create` had ended them once in that boot.)
  const way = journal.slice(journal.lastIndexOf('Stopping cv-photos-keeper.service'))
  expect(way.match(/Stopping cv-photos-\w+-link\.service/g)).toHaveLength(names.length)
  expect(way).not.toMatch(/cv-photos-\w+-link\.service: (Main process exited|Failed with)/)
  expect(way).not.toMatch(/I\/O error|lost page write|BTRFS error|nbd\d+: .*timed out/)
  return after.join(', ')
}

test('brought up by hand: each link ends after the unmount, and the servers have everything', {
  timeout: 20 * minutes,
}, async () => {
  expect((await status(lab())).verdict).toBe('healthy')
  const reboot = await rebootInUse(lab(), 'one')
  console.log(`shutdown: ${reboot.seconds.toFixed(0)} s; after the unmount ${linksEndedLast(reboot)}`)
  // Taken down with proof, and seen from the servers: every session was given back.
  const record = await lab().client.readFile('/var/lib/cloudvault/photos/record.json')
  expect(JSON.parse(record)).not.toHaveProperty('open')
  for (const server of lab().servers) expect(await leftOnServer(server)).toEqual([])
  await verb(lab(), ['up', 'photos'])
  expect((await status(lab())).verdict).toBe('healthy')
  expect(await everyFileIsRight(lab())).toBeGreaterThan(0)
})

test('enabled: the next boot brings every link up again, and every file is right', {
  timeout: 20 * minutes,
}, async () => {
  await verb(lab(), ['enable', 'photos'])
  const reboot = await rebootInUse(lab(), 'two')
  console.log(`shutdown: ${reboot.seconds.toFixed(0)} s; after the unmount ${linksEndedLast(reboot)}`)
  await verdictBecomes(lab(), 'healthy', 300)
  expect((await status(lab())).why).toEqual([])
  expect(await everyFileIsRight(lab())).toBeGreaterThan(0)
  await verb(lab(), ['disable', 'photos'])
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
})
