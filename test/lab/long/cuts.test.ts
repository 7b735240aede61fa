import { expect, test } from 'vitest'
import { everyFileIsRight, journal, saidSince, verdictBecomes, writeDuring } from '../drills/work.ts'
import { labProfile, nothingLeft, useLab, verb } from '../support.ts'

/**
 * The cable is out for longer than the kernel waits, on every kind of link, while somebody writes: no error, nothing
 * lost, and it is mended by itself. One vault, whose profile gets other links in turn.
 */
const lab = useLab({ servers: 2 })

const links = (): Record<string, readonly [string, string]> => {
  const address = lab().server('gra').address6
  return {
    'SSH and plain': ['ssh', 'plain'],
    'TLS with a key, and with certificates over IPv6': [
      'tls',
      `{ tls: { port: 443, auth: x509, address: "${address}", clients: ["fd77::2"] } }`,
    ],
    'WireGuard, over IPv4 and over IPv6': [
      'wireguard',
      `{ wireguard: { port: 4500, address: "${address}" } }`,
    ],
    'IPsec, over IPv4 and over IPv6': [
      'ipsec',
      `{ ipsec: { port: 4511, address: "${address}", clients: ["fd77::2"] } }`,
    ],
  }
}

const provisioned = async ([first, second]: readonly [string, string]): Promise<void> => {
  await labProfile(lab(), {
    changes: [
      ['    link: ssh                     #', `    link: ${first}   #`],
      ['    link: ssh\n', `    server: nbdkit\n    link: ${second}\n`],
      // A cut is to be sat out, not to cost a resilver.
      ['patience: 30s', 'patience: 120s'],
    ],
  })
  await verb(lab(), ['provision', 'photos'])
}

let created = false

/** The cable of each server is out for longer than the kernel waits, while somebody writes: nothing is lost. */
const cutUnderAWriter = async (): Promise<number> => {
  const before = await journal(lab())
  const written = await writeDuring(lab(), async () => {
    for (const server of lab().servers) await server.cutLink()
    // A request is given up after 10 to 20 s; shorter, a link may be back before anybody calls it lost.
    await lab().client.run('sleep 25')
    for (const server of lab().servers) await server.restoreLink()
    for (let waited = 0; waited < 60; waited++) {
      const said = await saidSince(lab(), before)
      if (['fsn', 'gra'].every((name) => said.includes(`${name}: back after`))) return
      await lab().client.run('sleep 1')
    }
    throw new Error(`not every link came back: ${await saidSince(lab(), before)}`)
  })
  await verdictBecomes(lab(), 'healthy', 60)
  return written.worstMs
}

test.each([
  'SSH and plain',
  'TLS with a key, and with certificates over IPv6',
  'WireGuard, over IPv4 and over IPv6',
  'IPsec, over IPv4 and over IPv6',
])('%s: a cut under a writer is mended by itself', { timeout: 900_000 }, async (kind) => {
  await provisioned(links()[kind] ?? ['', ''])
  if (!created) await verb(lab(), ['create', 'photos', '--confirm', 'photos'])
  created = true
  await verb(lab(), ['up', 'photos'])
  console.log(`${kind}: longest wait ${await cutUnderAWriter()} ms`)
  expect(await everyFileIsRight(lab())).toBeGreaterThan(0)
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
})
