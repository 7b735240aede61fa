import { afterAll, beforeAll, expect } from 'vitest'
import { canary, nothingLeft, useLab, verb } from '../support.ts'
import { drill } from './drill.ts'
import { networkThatGoes, rebootInUse } from './reboot.ts'
import { copyPhotos, everyFileIsRight, status, vaultUp, verdictBecomes, writeDuring } from './work.ts'

/** What the machine itself does with a vault that is up, under systemd: reboots and sleeps. */

const lab = useLab({ servers: 2, init: 'systemd' })

beforeAll(async () => {
  await networkThatGoes(lab())
  await vaultUp(lab(), { changes: [['patience: 30s', 'patience: 12s']] })
})

afterAll(async () => {
  await verb(lab(), ['down', 'photos'])
  await nothingLeft(lab())
})

const profile = '/etc/cloudvault/photos.yaml'
const [fromFile, fromPrompt] = ['passphrase: { file: /root/photos.pass }', 'passphrase: { prompt: true }']

/** Types the passphrase once, at a terminal, and takes the file with it away. */
const enableByPrompt = async (): Promise<void> => {
  const { client } = lab()
  await client.run(`sed -i 's|${fromFile}|${fromPrompt}|' ${profile} && rm /root/photos.pass`)
  const asking = client.start(client.cloudvaultArgv(['enable', 'photos']), { tty: true })
  for (let waited = 0; waited < 240 && !asking.output().stdout.includes('Passphrase'); waited++)
    await pause(500)
  asking.write(`${canary}\r`)
  const { code, stdout } = await asking.wait()
  expect(`${code} ${stdout}`).toMatch(/^0 [\s\S]*photos comes up at every boot from now on/)
  // Kept, but nowhere in the clear.
  await client.run(`! grep -rqs '${canary}' /etc /var/lib/systemd /var/lib/cloudvault /run/systemd`)
}

/** The timer waits for its night; what it would start then is started by hand. @returns what was seen */
const scrubbedByTimer = async (): Promise<string> => {
  const { client } = lab()
  const before = (await status(lab())).scrub
  expect(Date.parse(before?.nextAt ?? '')).toBeGreaterThan(Date.now())
  const waits = await client.run('systemctl list-timers --all | grep cloudvault-scrub-photos.timer')
  expect(waits.stdout).toContain('cv-photos-scrub.service')
  await client.run('systemctl start cv-photos-scrub.service', { deadlineMs: 600_000 })
  const history = (await status(lab())).scrub?.history ?? []
  expect(history.length).toBe((before?.history?.length ?? 0) + 1)
  return `the timer's service scrubbed, the next time on ${before?.nextAt?.slice(0, 10)}`
}

const disable = async (): Promise<void> => {
  const { client } = lab()
  await verb(lab(), ['disable', 'photos'])
  await client.putFile('/root/photos.pass', canary, 0o600)
  await client.run(`sed -i 's|${fromPrompt}|${fromFile}|' ${profile}`)
  await client.run('! ls /etc/systemd/system/cloudvault-* /etc/credstore.encrypted/* 2>/dev/null')
}

drill(36, lab, async () => {
  const copied = await copyPhotos(lab())
  const byHand = await rebootInUse(lab(), 'one')
  // Taken down with proof: nothing is open, nothing is to be mended.
  const record = await lab().client.readFile('/var/lib/cloudvault/photos/record.json')
  expect(JSON.parse(record)).not.toHaveProperty('open')
  expect((await status(lab())).verdict).toBe('down')
  await verb(lab(), ['up', 'photos'])
  expect((await status(lab())).verdict).toBe('healthy')
  expect(await everyFileIsRight(lab())).toBeGreaterThan(copied)

  await enableByPrompt()
  const enabled = await rebootInUse(lab(), 'two')
  await verdictBecomes(lab(), 'healthy', 240)
  const files = await everyFileIsRight(lab())
  const scrubbed = await scrubbedByTimer()
  await disable()
  await lab().client.run('! { systemctl list-timers --all; ls /var/lib/systemd/timers; } | grep photos')
  const took = (run: { seconds: number }): string => `${run.seconds.toFixed(0)} s`
  return `two reboots while two programs wrote, taken down with proof before the network went: brought up by hand in ${took(byHand)}, enabled in ${took(enabled)} and up again by itself; ${files} files right; ${scrubbed}`
})

/** Longer than patience (12 s here), than the kernel's timeout for a request, than SSH's keepalives. */
const sleepSeconds = 75

drill(37, lab, async () => {
  const { client } = lab()
  const said = async (): Promise<string> =>
    (await client.run('journalctl -b --no-pager -o cat -u cv-photos-monitor')).stdout
  // A monitor that is still being started has nothing to notice.
  for (let waited = 0; waited < 120 && !/ watching fsn, gra/.test(await said()); waited++) await pause(1000)
  const wrote = await writeDuring(lab(), async () => {
    client.standStill()
    await pause(sleepSeconds * 1000)
    client.wake()
    await client.run('sleep 20')
  })
  const [, stood] = /this machine stood still for (\d+) s/.exec(await said()) ?? []
  expect(Number(stood)).toBeGreaterThan(sleepSeconds * 0.9)
  await verdictBecomes(lab(), 'healthy', 240)
  const files = await everyFileIsRight(lab())

  // The monitor's own figures, and that another takes its place when it is killed.
  const main = '$(systemctl show --property=MainPID --value cv-photos-monitor)'
  await client.run(`kill -USR2 ${main}`)
  const figures = /this monitor: (\d+) MB of memory, [\d.]+ % of a core[^\n]*/
  for (let waited = 0; waited < 60 && !figures.test(await said()); waited++) await pause(1000)
  const [line = '', megabytes] = figures.exec(await said()) ?? []
  expect(Number(megabytes)).toBeLessThan(110)
  const watching = async (): Promise<number> => [...(await said()).matchAll(/ watching fsn, gra/g)].length
  const before = await watching()
  await client.run(`kill -KILL ${main}`)
  for (let waited = 0; waited < 120 && (await watching()) === before; waited++) await pause(1000)
  expect(await watching()).toBe(before + 1)
  expect((await status(lab())).verdict).toBe('healthy')
  const simulated = `the whole client machine was stopped for ${sleepSeconds} s (SIGSTOP: suspend does not exist in User-Mode Linux) and went on`
  return `${simulated}; longest write ${(wrote.worstMs / 1000).toFixed(0)} s, no error, ${files} files right, healthy; ${line}; killed, systemd started another`
})

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
