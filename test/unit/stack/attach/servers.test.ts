import { afterEach, expect, it } from 'vitest'
import { dial } from '../../../../src/stack/attach/dial.ts'
import type { Offer } from '../../../../src/stack/attach/handshake.ts'
import { checkOffer } from '../../../../src/stack/attach/offer.ts'
import { faultOf } from './support/fault.ts'
import { type RunningServer, startNbdkit, startNbdServer } from './support/servers.ts'

const running: RunningServer[] = []
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop()
})

async function offerOf(server: RunningServer, exportName: string): Promise<Offer> {
  running.push(server)
  const { offer, close } = await dial({ kind: 'unix', path: server.socket }, exportName, 20_000)
  close()
  return offer
}

const size = { sizes: [64 * 2 ** 20] }

it('nbd-server with flush, fua and trim offers the disk we want', async () => {
  const offer = await offerOf(await startNbdServer('flush = true', 'fua = true', 'trim = true'), 'disk')
  expect(offer).toMatchObject({
    sizeBytes: 64n << 20n,
    canFlush: true,
    canFua: true,
    canTrim: true,
    readOnly: false,
  })
  expect(checkOffer(offer, size)).toBeNull()
})

it('nbd-server as it comes never flushes: refused before the kernel sees it', async () => {
  const offer = await offerOf(await startNbdServer(), 'disk')
  expect(checkOffer(offer, size)).toMatch(/no flush.*no FUA/)
})

it('nbd-server read-only is refused', async () => {
  const offer = await offerOf(await startNbdServer('flush = true', 'fua = true', 'readonly = true'), 'disk')
  expect(checkOffer(offer, size)).toMatch(/read-only/)
})

it('nbd-server serves only the name it was given', async () => {
  const server = await startNbdServer('flush = true')
  expect(await faultOf(() => offerOf(server, 'old-nonce'))).toMatchObject({
    reason: 'unknown export',
    message: 'the server has no export "old-nonce"',
  })
})

it('nbdkit offers the disk we want, and says its block sizes when it has any', async () => {
  const offer = await offerOf(await startNbdkit('memory', '64M'), '')
  expect(checkOffer(offer, size)).toBeNull()
  const words = ['blocksize-minimum=512', 'blocksize-preferred=8192', 'blocksize-maximum=65536']
  const coarse = await offerOf(await startNbdkit('--filter=blocksize-policy', 'memory', '64M', ...words), '')
  expect(coarse).toMatchObject({ minimumBlock: 512, preferredBlock: 8192, maximumBlock: 65536 })
  expect(checkOffer(coarse, size)).toMatch(/larger than 65536/)
})

it('nbdkit read-only and another size are refused', async () => {
  const offer = await offerOf(await startNbdkit('--readonly', 'memory', '32M'), '')
  expect(checkOffer(offer, size)).toMatch(/size is 33554432 bytes instead of 67108864.*read-only/)
})

it('nbdkit that insists on TLS says so', async () => {
  const server = await startNbdkit('--tls=require', '--tls-psk=/dev/null', 'memory', '64M')
  expect(await faultOf(() => offerOf(server, ''))).toMatchObject({ reason: 'tls required', exit: 5 })
})

it('a server that is killed in front of us is unreachable', async () => {
  const server = await startNbdkit('memory', '64M')
  await offerOf(server, '')
  await server.stop()
  running.length = 0
  expect(await faultOf(() => dial({ kind: 'unix', path: server.socket }, '', 1_000))).toMatchObject({
    exit: 4,
  })
})
