import { beforeAll, expect } from 'vitest'
import type { Lab } from '../../../lab/index.ts'
import { leftOnClient, leftOnServer, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'
import { everyFileIsRight, journal, status, vaultUp } from './work.ts'

/** A vault without a mirror: when its only provider is away, nobody can go on; what counts is that nothing lies. */
const lab = useLab({ servers: 1 })

const patience = 20

/** The shipped profile of one server, as the vault "photos", with a short patience. */
const alone = (on: Lab): Promise<void> =>
  vaultUp(on, {
    shipped: 'single',
    changes: [
      ['scratch', 'photos'],
      ['root@vps-fsn.example.com:22', `vps-fsn\n    host_key: ${on.server('fsn').hostKeyFingerprint}`],
      ['patience: 5m ', `patience: ${patience}s `],
    ],
  })

beforeAll(() => alone(lab()), 600_000)

/** Numbered files, each with fsync, until one fails; then the words a program reads. */
const writer = `i=0; while [ $i -lt 5000 ]; do i=$((i+1)); f=/vault/photos/w-$i
  dd if=/dev/urandom of=$f bs=8k count=1 conv=fsync status=none || { echo "failed at $i"; exit 1; }
  sha256sum $f >> /tmp/sums; done`

drill(4, lab, async () => {
  const working = lab().client.start(writer)
  await lab().client.run('sleep 5')
  const began = Date.now()
  await lab().server('fsn').cutLink()
  // Noticed within 10 to 22 s, then patience: until then the writer waits, and nothing is given up.
  await lab().client.run('sleep 12')
  const waiting = await status(lab())
  expect(waiting.why.join(' ')).toMatch(
    /fsn does not answer; what is read or written waits, for 20 s at most/,
  )
  const ended = await working.wait()
  const waited = (Date.now() - began) / 1000
  expect(ended.stdout).toContain('failed at')
  expect(ended.stderr).toMatch(/Input\/output error|Read-only file system/)
  expect(waited).toBeGreaterThan(patience)
  expect(waited).toBeLessThan(90)
  expect(await journal(lab())).toMatch(/fsn: parked after [\d.]+ s; what was waiting fails with an error/)

  const failed = await status(lab())
  expect(failed.verdict).toBe('degraded')
  expect(failed.why.join(' ')).toContain('reads and writes fail, what was fsynced is on it')
  expect(failed.next.join(' ')).toContain('cloudvault down photos, then cloudvault up photos')
  await verb(lab(), ['status', 'photos', '--check'], 7)

  const before = Date.now()
  const down = await verb(lab(), ['down', 'photos'], 4)
  const downSeconds = (Date.now() - before) / 1000
  expect(down.stdout).toContain('photos is down, and nothing is proved: no server answered any more')
  expect(down.stdout).toContain('cloudvault up photos')
  expect(downSeconds).toBeLessThan(30)
  expect(await leftOnClient(lab())).toEqual([])

  await lab().server('fsn').restoreLink()
  await verb(lab(), ['up', 'photos'])
  const files = await everyFileIsRight(lab())
  await lab().client.run('echo on > /vault/photos/on && sync -f /vault/photos')
  expect((await status(lab())).verdict).toBe('healthy')
  await verb(lab(), ['down', 'photos'])
  expect(await leftOnClient(lab())).toEqual([])
  expect(await leftOnServer(lab().server('fsn'))).toEqual([])
  return `the writer got its error after ${waited.toFixed(0)} s, down took ${downSeconds.toFixed(1)} s, all ${files} fsynced files were there`
})
