/**
 * The demo: the main job done for real in the lab, told as it happens. Every claim is checked; the exit code is 0 only
 * when all of them hold.
 */
import { styleText } from 'node:util'
import { type Lab, startLab } from './index.ts'

const vault = '/vault/photos'
const disk = '/srv/cloudvault/photos.img'
const passphrase = 'correct horse battery staple'

const started = Date.now()
const clock = (): string => `${((Date.now() - started) / 1000).toFixed(0).padStart(4)} s`
const paint = (style: 'bold' | 'dim' | 'green' | 'red' | 'cyan', text: string): string =>
  styleText(style, text, { stream: process.stdout })

/** A scene of the story. */
const scene = (title: string): void => console.log(`\n${paint('bold', title)}`)
const tell = (text: string): void => console.log(`${paint('dim', clock())}  ${text}`)

interface Claim {
  readonly text: string
  readonly good: boolean
  readonly shown: string
}
const claims: Claim[] = []

/** A claim is checked, shown and remembered. The story goes on when it fails, so that one run shows all faults. */
const claim = (text: string, good: boolean, shown: string): void => {
  claims.push({ text, good, shown })
  tell(`${good ? paint('green', '✔') : paint('red', '✖')} ${text}: ${shown}`)
}

/** What a person would type, and what they would see. */
const typed = async (lab: Lab, args: readonly string[], wanted = 0): Promise<string> => {
  const words = args.map((word) => (/\s/.test(word) ? `'${word}'` : word)).join(' ')
  tell(paint('cyan', `$ cloudvault ${words}`))
  const { code, stdout, stderr } = await lab.client.cloudvault(args)
  for (const line of `${stderr}${stdout}`.trimEnd().split('\n'))
    if (line.trim()) console.log(`        ${line}`)
  if (code !== wanted) throw new Error(`cloudvault ${args[0]} ended with exit ${code}, not ${wanted}`)
  return stdout
}

const sums = `find . -type f -not -name 'writer-*' -print0 | sort -z | xargs -0 sha256sum`

const setUp = async (lab: Lab): Promise<void> => {
  scene('1. A few answers become a profile, and two servers become a vault')
  await lab.client.putFile('/root/photos.pass', passphrase, 0o600)
  const member = (name: string, provider: string): string[] => {
    const key = lab.server(name as 'fsn').hostKeyFingerprint
    return ['--member', `name=${name},ssh=vps-${name},provider=${provider},size=640MiB,host-key=${key}`]
  }
  await typed(lab, [
    ...['init', 'photos', ...member('fsn', 'hetzner'), ...member('gra', 'ovh')],
    ...['--at', vault, '--passphrase', 'file:/root/photos.pass', '--kdf', 'pbkdf2,iterations=1000'],
  ])
  await typed(lab, ['provision', 'photos'])
  const again = await typed(lab, ['provision', 'photos'])
  claim('provision twice changes nothing', again.includes('no change'), 'no change')
  await typed(lab, ['create', 'photos', '--confirm', 'photos'])
  await typed(lab, ['up', 'photos'])
}

const fill = async (lab: Lab): Promise<string> => {
  scene('2. Real files go in')
  const tree = `${lab.client.repository}/node_modules`
  const packages = ['knip', 'zod', 'typescript', 'yaml', '@types', 'ssh2', 'execa', '@inquirer']
  const copy = `mkdir ${vault}/tree && tar -C ${tree} -cf - ${packages.join(' ')} | tar -C ${vault}/tree -xf - && sync`
  await lab.client.run(copy, { deadlineMs: 400_000 })
  const source = await lab.client.run(
    `cd ${tree} && find ${packages.join(' ')} -type f -print0 | sort -z | xargs -0 sha256sum | sed 's|  |  ./|'`,
    { deadlineMs: 400_000 },
  )
  const files = source.stdout.trim().split('\n').length
  const inside = await hashes(lab)
  claim(
    'a real tree of at least 2,000 files is in the vault',
    files >= 2000 && inside === sorted(source.stdout),
    `${files} files, SHA-256 equal to the source`,
  )
  await typed(lab, ['status', 'photos'])
  return inside
}

const sorted = (text: string): string => text.trim().split('\n').sort().join('\n')
const hashes = async (lab: Lab): Promise<string> =>
  sorted((await lab.client.run(`cd ${vault}/tree && ${sums}`, { deadlineMs: 400_000 })).stdout)

/** Writes a numbered file and fsyncs it, over and over; prints the longest that one write took. */
const writerScript = `
i=0; worst=0
while [ ! -e /tmp/enough ] && [ $i -lt 4000 ]; do
  i=$((i+1)); a=$(date +%s%N)
  dd if=/dev/urandom of=${vault}/writer-$i bs=8k count=1 conv=fsync status=none || { echo "error at $i"; exit 1; }
  sha256sum ${vault}/writer-$i >> /tmp/writer.sums
  b=$(( ($(date +%s%N) - a) / 1000000 )); [ $b -gt $worst ] && worst=$b
done
echo "$i $worst"`

/** Somebody writes while it happens, and must see no error. */
const underWriter = async (lab: Lab, text: string, what: () => Promise<unknown>): Promise<void> => {
  await lab.client.run('rm -f /tmp/enough /tmp/writer.sums')
  const writer = lab.client.start(writerScript)
  await lab.client.run('sleep 3')
  await what()
  await lab.client.run('touch /tmp/enough')
  const ended = await writer.wait()
  const [files = '0', worst = '0'] = ended.stdout.trim().split(' ')
  const check = await lab.client.run('sha256sum -c --quiet /tmp/writer.sums', { allowFail: true })
  claim(
    text,
    ended.code === 0 && check.code === 0,
    `${files} files written and fsynced, longest wait ${(Number(worst) / 1000).toFixed(1)} s, all right`,
  )
}

const serverDies = async (lab: Lab): Promise<void> => {
  scene("3. One provider's server dies under a writer, and comes back")
  await underWriter(lab, 'the writer saw a pause, no error', async () => {
    await lab.server('fsn').run('systemctl kill --signal=KILL cv-photos-fsn.service')
    tell(
      'fsn: nbd-server was killed with SIGKILL; systemd brings it back, the monitor gives the kernel a new connection',
    )
    await lab.client.run('sleep 8')
  })
  const report = JSON.parse((await lab.client.cloudvault(['status', 'photos', '--json'])).stdout)
  claim('no write was lost on any mirror', report.verdict === 'healthy', `status says ${report.verdict}`)
  await lab.client.run(`rm ${vault}/writer-*; sync`)
}

/** Noise in 4 KiB of every 64 KiB of the first 320 MiB, beside the superblock (a copy of it is part of the proof at `down`). */
const rot = async (lab: Lab): Promise<void> => {
  await lab.client.run('sync; echo 3 > /proc/sys/vm/drop_caches')
  await lab
    .server('gra')
    .run(
      `for i in $(seq 16 5119); do dd if=/dev/urandom of=${disk} bs=4K count=1 seek=$((i*16+8)) conv=notrunc status=none; done`,
    )
  tell("gra: 5,104 places of its disk were overwritten with noise, behind everybody's back")
}

const scrub = async (lab: Lab) =>
  JSON.parse((await lab.client.cloudvault(['scrub', 'photos', '--json'])).stdout)

const diskRots = async (lab: Lab, before: string): Promise<void> => {
  scene('4. The other provider corrupts its disk')
  await rot(lab)
  const first = await scrub(lab)
  claim(
    'scrub finds and mends',
    first.status === 'finished' && first.corrected > 0 && first.uncorrectable === 0,
    `${first.corrected} blocks mended from fsn's copy, ${first.uncorrectable} lost`,
  )
  const second = await scrub(lab)
  claim(
    'nothing is left to mend',
    second.status === 'finished' && second.corrected === 0 && second.uncorrectable === 0,
    'a second scrub finds nothing',
  )
  await lab.client.run('echo 3 > /proc/sys/vm/drop_caches')
  claim('every file is right', (await hashes(lab)) === before, 'SHA-256 of every file equal')
  await rot(lab)
  claim(
    'the files are right although one copy is not',
    (await hashes(lab)) === before,
    'SHA-256 of every file equal, nobody had scrubbed',
  )
  await scrub(lab)
}

/** The verdict, once it is that or the time is over. */
const verdictWithin = async (lab: Lab, wanted: string, seconds: number): Promise<string> => {
  let verdict = ''
  for (const end = Date.now() + seconds * 1000; verdict !== wanted && Date.now() < end; ) {
    verdict = JSON.parse((await lab.client.cloudvault(['status', 'photos', '--json'])).stdout).verdict
    if (verdict !== wanted) await lab.client.run('sleep 2')
  }
  return verdict
}

const providerIsLeft = async (lab: Lab, before: string): Promise<void> => {
  scene('5. gra is left for another provider, while people work')
  const hel = lab.server('hel')
  await underWriter(lab, 'people worked on while a provider was left for another', () =>
    typed(lab, [
      ...['replace', 'photos', 'gra', '--with', 'name=hel,ssh=vps-hel,provider=upcloud'],
      ...['--accept-host-key', `hel=${hel.hostKeyFingerprint}`, '--yes'],
    ]),
  )
  const verdict = await verdictWithin(lab, 'healthy', 300)
  claim('the new copy was read and compared', verdict === 'healthy', `status says ${verdict}`)
  claim('every file is right on the new pair', (await hashes(lab)) === before, 'SHA-256 of every file equal')
  const left = await lab.server('gra').run(`ls ${disk} /etc/cloudvault/cv-photos-gra 2>/dev/null; true`)
  claim('gra was emptied', left.stdout.trim() === '', 'no disk, no export, no receipt of ours')
  await lab.client.run(`rm ${vault}/writer-*; sync`)
}

const leave = async (lab: Lab, before: string): Promise<void> => {
  scene('6. Down, with proof')
  const down = await typed(lab, ['down', 'photos'])
  const [, fsn, hel] = /fsn holds generation (\d+)[\s\S]*hel holds generation (\d+)/.exec(down) ?? []
  claim(
    'both servers provably hold the same last state',
    fsn !== undefined && fsn === hel,
    `generation ${fsn} read back from both`,
  )
  for (const server of [lab.server('fsn'), lab.server('hel')]) {
    const found = await server.run(
      `LC_ALL=C grep -a -o -m1 -E 'LUKS|_BHRfS_M|node_modules|inquirer' ${disk} | head -1`,
      { allowFail: true },
    )
    const units = await server.run(
      "systemctl list-units --plain --no-legend 'cv-*'; ss -Hltn | grep -v ':22 ' || true",
    )
    claim(
      `${server.name} holds noise and serves nothing`,
      found.stdout.trim() === '' && units.stdout.trim() === '',
      'no plain text, no LUKS header, no Btrfs magic; no unit, no port',
    )
  }
  scene('7. fsn is gone for good: hel alone')
  await lab.server('fsn').kill()
  await typed(lab, ['up', 'photos'], 7)
  await typed(lab, ['up', 'photos', '--degraded=ro'])
  claim(
    'one provider alone still has every file',
    (await hashes(lab)) === before,
    'SHA-256 of every file equal, read-only',
  )
  await typed(lab, ['down', 'photos'])
}

const summary = (): number => {
  const failed = claims.filter((entry) => !entry.good)
  scene('What was shown')
  const width = Math.max(...claims.map((entry) => entry.text.length))
  for (const { text, good, shown } of claims) {
    console.log(`  ${good ? paint('green', '✔') : paint('red', '✖')} ${text.padEnd(width)}   ${shown}`)
  }
  console.log(`\n${claims.length - failed.length} of ${claims.length} claims hold, ${clock().trim()}`)
  return failed.length === 0 ? 0 : 1
}

const main = async (): Promise<number> => {
  scene('0. A lab: one trusted client and three untrusted servers, real kernels on this machine')
  const lab = await startLab({ servers: 3, log: tell })
  tell(`lab ${lab.id} is up after ${(lab.startedInMs / 1000).toFixed(1)} s`)
  try {
    await setUp(lab)
    const before = await fill(lab)
    await serverDies(lab)
    await diskRots(lab, before)
    await providerIsLeft(lab, before)
    await leave(lab, before)
  } catch (error) {
    claim('the story came to its end', false, error instanceof Error ? error.message : String(error))
  } finally {
    await lab.stop()
  }
  return summary()
}

process.exitCode = await main()
