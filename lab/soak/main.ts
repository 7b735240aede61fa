/**
 * The soak: real work on a mirrored vault while one fault after the other hits its members, and at the end the question
 * whether everything is there, everywhere. Same seed, same faults. Exit 0 only when all of it is.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Lab, startLab } from '../index.ts'
import { bring } from './faults.ts'
import { faultsOf, type PlannedFault } from './plan.ts'
import workScript from './work.sh'

/** Side by side; `heavy` does four things in turns. */
const workers = ['writer', 'sqlite', 'heavy'] as const
const operations = ['write', 'sqlite', 'git', 'rsync', 'fio', 'stress-ng'] as const

/** Each member is hit, however slow the machine is. */
const least = 2

const started = Date.now()
const clock = (): string => `${((Date.now() - started) / 1000).toFixed(0).padStart(4)} s`
const tell = (text: string): void => console.log(`${clock()}  ${text}`)

const option = (name: string, otherwise: number): number => {
  const at = process.argv.indexOf(name)
  const value = at === -1 ? otherwise : Number(process.argv[at + 1])
  if (Number.isFinite(value) && value >= 0) return value
  console.error(`${name} takes a number, not ${process.argv[at + 1]}`)
  process.exit(2)
}

interface Soaked {
  readonly survived: PlannedFault[]
  operations: Record<string, number>
  worstStallMs: number
  readonly why: string[]
}

const typed = async (lab: Lab, ...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await lab.client.cloudvault(args)
  if (code !== 0) throw new Error(`cloudvault ${args.join(' ')}: exit ${code}: ${stderr || stdout}`)
  return stdout
}

const setUp = async (lab: Lab): Promise<void> => {
  let profile = readFileSync('profiles/two-servers.yaml', 'utf8')
    .replaceAll(/size: \d+GiB/g, 'size: 640MiB')
    .replaceAll('patience: 30s', 'patience: 12s')
    .replace(
      /passphrase: \{ prompt: true \}.*/,
      'passphrase: { file: /root/photos.pass }\n  kdf: { algorithm: pbkdf2, iterations: 1000 }',
    )
  for (const { name, hostKeyFingerprint } of lab.servers)
    profile = profile.replace(
      new RegExp(`(ssh: vps-${name}\\b.*)`),
      `$1\n    host_key: ${hostKeyFingerprint}`,
    )
  await lab.client.putFile('/root/photos.pass', 'a passphrase for an hour', 0o600)
  await lab.client.putFile('/etc/cloudvault/photos.yaml', profile, 0o600)
  await lab.client.putFile('/root/work', workScript, 0o755)
  await typed(lab, 'provision', 'photos')
  await typed(lab, 'create', 'photos', '--confirm', 'photos')
  await typed(lab, 'up', 'photos')
  await work(lab, 'prepare')
}

const work = async (lab: Lab, what: string): Promise<string> =>
  (await lab.client.run(['/root/work', what], { deadlineMs: 600_000 })).stdout.trim()

/** Faults one after the other while everybody works; then everybody ends the round begun. */
const play = async (lab: Lab, seed: number, minutes: number, soaked: Soaked): Promise<void> => {
  const running = workers.map((kind) => ({ kind, worker: lab.client.start(['/root/work', kind]) }))
  const end = Date.now() + minutes * 60_000
  try {
    for (const fault of faultsOf(seed, ['fsn', 'gra'])) {
      if (Date.now() >= end && soaked.survived.length >= least) break
      const began = Date.now()
      await bring(lab, fault)
      soaked.survived.push(fault)
      tell(`${fault.kind}, ${fault.member}: got over after ${((Date.now() - began) / 1000).toFixed(1)} s`)
    }
  } finally {
    await lab.client.run('touch /tmp/enough')
    for (const { kind, worker } of running) {
      const { code, stderr } = await Promise.race([worker.wait(), tooLong(kind)])
      if (code !== 0) soaked.why.push(`${kind} ended with ${code}: ${stderr.trim()}`)
    }
    await count(lab, soaked)
  }
}

/** A round takes a minute on a busy machine; a worker that has not ended after ten hangs. */
const tooLong = async (kind: string): Promise<{ code: null; stderr: string }> => {
  await sleep(600_000, undefined, { ref: false })
  return { code: null, stderr: `${kind} hangs` }
}

const count = async (lab: Lab, soaked: Soaked): Promise<void> => {
  const done = (await lab.client.run('cat /tmp/ops')).stdout.split('\n')
  for (const name of operations) soaked.operations[name] = done.filter((line) => line === name).length
  soaked.worstStallMs = Number((await lab.client.run('cat /tmp/worst')).stdout)
  const idle = operations.filter((name) => soaked.operations[name] === 0)
  if (idle.length > 0) soaked.why.push(`not one round of ${idle.join(', ')}`)
}

const claim = async (soaked: Soaked, text: string, ask: () => Promise<string>): Promise<void> => {
  const wrong = await ask().catch((error: unknown) =>
    error instanceof Error ? error.message : String(error),
  )
  tell(`${wrong === '' ? '✔' : '✖'} ${text}${wrong === '' ? '' : `: ${wrong}`}`)
  if (wrong !== '') soaked.why.push(`${text}: ${wrong}`)
}

const unless = (good: boolean, text: string): string => (good ? '' : text)

const judge = async (lab: Lab, soaked: Soaked): Promise<void> => {
  await claim(soaked, 'status says healthy', async () => {
    const { verdict, why } = JSON.parse(await typed(lab, 'status', 'photos', '--json'))
    return unless(verdict === 'healthy', `${verdict}: ${why}`)
  })
  await claim(soaked, 'a scrub finds nothing to mend', async () => {
    const { status, corrected, uncorrectable } = JSON.parse(await typed(lab, 'scrub', 'photos', '--json'))
    const clean = status === 'finished' && corrected === 0 && uncorrectable === 0
    return unless(clean, `${status}, ${corrected} mended, ${uncorrectable} lost`)
  })
  await claim(soaked, 'sqlite, git, rsync and every file that was written are right', () =>
    work(lab, 'check'),
  )
  const files = await work(lab, 'sums')
  tell(`${files} files are in the vault`)
  await claim(soaked, 'down, with proof', async () =>
    unless((await typed(lab, 'down', 'photos')).includes('is on every server'), 'not proved'),
  )
  for (const [off, on] of [
    ['fsn', 'gra'],
    ['gra', 'fsn'],
  ] as const) {
    await claim(soaked, `${on} alone has every file`, async () => {
      await lab.server(off).kill()
      await typed(lab, 'up', 'photos', '--degraded=ro')
      await work(lab, 'check')
      await typed(lab, 'down', 'photos')
      await lab.server(off).start()
      return ''
    })
  }
  await claim(soaked, 'nothing is left', () => left(lab))
}

const left = async (lab: Lab): Promise<string> => {
  const here = `for d in /sys/block/nbd*; do [ -e $d/pid ] && echo connected $d; done; ls /dev/mapper | grep ^cv-
    grep /vault/ /proc/self/mountinfo; ps -eo stat,args | grep -E '^D|ssh -N|cloudvault.js monitor' | grep -v grep; true`
  const there =
    "systemctl list-units --plain --no-legend 'cv-*'; ls -d /run/cloudvault/cv-*/ 2>/dev/null; true"
  const found = [
    await lab.client.run(here),
    ...(await Promise.all(lab.servers.map((server) => server.run(there)))),
  ]
  return found.map(({ stdout }) => stdout.trim()).join('')
}

const summary = (seed: number, minutes: number, soaked: Soaked): void => {
  const { survived, operations, worstStallMs, why } = soaked
  const faults: Record<string, number> = {}
  for (const { kind } of survived) faults[kind] = (faults[kind] ?? 0) + 1
  const shown = (counts: Record<string, number>): string =>
    Object.entries(counts)
      .map(([name, times]) => `${name} ${times}`)
      .join(', ')
  console.log(`\noperations: ${shown(operations)}`)
  console.log(`faults survived: ${survived.length} (${shown(faults)})`)
  console.log(`longest stall: ${(worstStallMs / 1000).toFixed(1)} s`)
  for (const line of why) console.log(`✖ ${line}`)
  console.log(
    `${why.length === 0 ? 'survived' : 'FAILED'}   (again: npm run soak -- --minutes ${minutes} --seed ${seed})`,
  )
  const result = {
    survived: why.length === 0,
    seed,
    minutes,
    operations,
    faults,
    order: survived,
    worstStallMs,
    why,
  }
  mkdirSync('out', { recursive: true })
  writeFileSync('out/soak.json', `${JSON.stringify(result, null, 2)}\n`)
}

const main = async (): Promise<number> => {
  const minutes = option('--minutes', 1)
  const seed = option('--seed', Math.floor(Math.random() * 2 ** 32))
  tell(`${minutes} minutes of faults, seed ${seed}`)
  const soaked: Soaked = { survived: [], operations: {}, worstStallMs: 0, why: [] }
  const lab = await startLab({ servers: 2, log: tell })
  try {
    await setUp(lab)
    tell('the vault is up; everybody works')
    await play(lab, seed, minutes, soaked)
    await judge(lab, soaked)
  } catch (error) {
    soaked.why.push(error instanceof Error ? error.message : String(error))
  } finally {
    await lab.stop()
  }
  summary(seed, minutes, soaked)
  return soaked.why.length === 0 ? 0 : 1
}

process.exitCode = await main()
