import { rmSync } from 'node:fs'
import type { Kind } from './faults.ts'
import { fill, hashOf, mounts, standing } from './standing.ts'
import { type Aim, type Job, type Judge, Trial, type Verb } from './trial.ts'

/**
 * Runs in the client: something happens at every external command and every call (netlink, superblocks, files) of a
 * verb. Each run is hit at the first point that never was, until a run has none left and succeeds; so every run also
 * shows that the one before left nothing in its way. What is to be tried comes in the order of its worth, and no run is
 * begun when the time is over. Prints one JSON line.
 */

interface Work extends Job {
  readonly work: readonly { readonly aim: Aim; readonly of: number }[]
  /** Seconds until no further run is begun. */
  readonly seconds: number
  /** Given to the processes that are killed. */
  readonly killed?: Verb
}

const job = JSON.parse(process.argv[2] ?? '{}') as Work
const trial = new Trial(job)
const { faults, connections } = trial
const { vault, member } = job

/** Far above what there is; a loop that never ends is a surprise, too. */
const most = 250
const late = (): boolean => performance.now() > job.seconds * 1000
const more = (run: number): boolean => run < most && !late()

const left = (): Promise<string> => standing(vault, connections.values())
const leftOver = async (): Promise<string> => {
  const found = await left()
  return found === '' ? '' : `left ${found}`
}
const notUp = async (): Promise<string> => (mounts(vault).length > 0 ? '' : 'not mounted')
const nothing = async (): Promise<string> => ''
const downJudge = async (done: boolean): Promise<string> => (done ? leftOver() : '')
const calm = (verb: Verb, judge: Judge = nothing): Promise<boolean> => trial.once(verb, 'none', 'fail', judge)

const udevRule = '/run/udev/rules.d/59-cloudvault.rules'
/** Like a machine that has never run cloudvault: the kernel step has its modules and its rule to set up. */
const forgetKernel = (): void => {
  const tried = [...faults.tried].some((point) => point.includes(udevRule)) // the rule is the last it sets up
  if (!tried) rmSync(udevRule, { force: true })
}

/**
 * What of an earlier `up` stands when the runs begin that are hit: all but the mount, the devices alone, nothing. From
 * the top, so that not everything has to be made anew for every point near it. Each point is met on the first floor
 * that it is above; an `up` that does not succeed must leave exactly what it found.
 */
const floors = ['cryptsetup close', 'netlink nbd DISCONNECT', null]

const everyUp = async (kind: Kind): Promise<void> => {
  for (const floor of floors) if (!late()) await everyUpFrom(floor, kind)
}

const everyUpFrom = async (floor: string | null, kind: Kind): Promise<void> => {
  const toFloor = () => trial.once('down', floor === null ? 'none' : { every: floor }, 'fail', downJudge)
  await toFloor()
  const found = await left()
  const asFound = async (): Promise<string> => {
    const now = await left()
    return now === found ? '' : `found ${found || 'nothing'} and left ${now || 'nothing'}`
  }
  for (let run = 0; more(run); run++) {
    if (floor === null && kind !== 'hang') forgetKernel()
    if (await trial.once('up', 'next', kind, (done) => (done ? notUp() : asFound()))) return
    if (faults.hit === '') return
    if (mounts(vault).length > 0) await toFloor() // it got there all the same
  }
  if (!late()) trial.surprise(`up: no end after ${most} runs`)
}

const killedUp = async (): Promise<void> => {
  await calm('down', downJudge)
  forgetKernel()
  await trial.killed('up', more, nothing)
}

/**
 * `down` goes on where the last one stopped. While one member's branch fails the others go on, so what they passed
 * is met in a later descent, until one descent has nothing new.
 */
const everyDown = async (kind: Kind): Promise<void> => {
  for (let run = 0, before = -1; more(run) && before < faults.tried.size; run++) {
    before = faults.tried.size
    while (!(await trial.once('down', 'next', kind, downJudge)) && faults.hit !== '' && more(run)) run++
    if (before < faults.tried.size && !late()) await calm('up', notUp)
  }
}

/** Both begin and end with a vault that is up, with the same files in it. */
const upOrDown = async (verb: 'up' | 'down', kind: Kind): Promise<void> => {
  await calm('up', notUp)
  const before = hashOf(vault)
  const tries = { up: everyUp, down: everyDown }
  if (kind !== 'SIGKILL') await tries[verb](kind)
  else if (verb === 'up') await killedUp()
  else await trial.killed('down', more, nothing)
  if (verb === 'down' && late()) await calm('down')
  if (verb === 'down') {
    const rest = await leftOver()
    if (rest !== '') trial.surprise(`down, ${kind}: at the end ${rest}`)
  }
  await calm('up', notUp)
  if (hashOf(vault) !== before) trial.surprise(`${verb}, ${kind}: the files are not what they were`)
}

/** What provision leaves on a server, as far as unprovision has to take it away again. */
const serverLook = `ls -d /etc/cloudvault /run/cloudvault /srv/cloudvault /usr/local/lib/cloudvault /etc/systemd/system/cv-* 2>/dev/null
getent passwd cloudvault; dpkg-query -W -f '\${Package} \${Status}\\n' nbd-server 2>/dev/null | grep -v 'unknown ok not-installed'; systemctl is-enabled nbd-server 2>/dev/null; test -d /srv || echo 'no /srv'; true`

/** The verb goes on where the run before was hit, until one comes to its end; when there is no time for that, a calm one. */
const onward = async (verb: Verb, kind: Kind, judge: Judge = nothing): Promise<void> => {
  const ready = (): Promise<void> => (verb === 'create' ? forgetCreated() : trial.takeBack(verb))
  if (kind === 'SIGKILL') {
    if (await trial.killed(verb, more, ready)) return
  } else {
    for (let run = 0; more(run); run++) {
      await ready()
      if ((await trial.once(verb, 'next', kind, judge)) || faults.hit === '') return
    }
  }
  await ready()
  await calm(verb, judge)
}

/** Nothing is undone on a server when a run ends early: the next one goes on from there. */
const everyProvision = async (kind: Kind): Promise<void> => {
  await calm('unprovision')
  await onward('provision', kind)
  await calm('provision')
  if (!/"changed":false/.test(trial.stdout) || /"changed":true/.test(trial.stdout))
    trial.surprise(`provision, ${kind}: a second one changes something: ${trial.stdout}`)
  await calm('unprovision')
  const rest = await connections.get(member)?.run({ argv: ['sh', '-c', serverLook] })
  if (rest?.stdout !== '') trial.surprise(`provision, ${kind}: unprovision left ${rest?.stdout}`)
}

/** A vault that was never created: no state here, a blank disk there. */
const forgetVault = async (): Promise<void> => {
  await calm('down')
  rmSync(`/var/lib/cloudvault/${vault}`, { recursive: true, force: true })
  const disk = `/srv/cloudvault/${vault}.img`
  const zero =
    'rm -f "$1.blank" && fallocate -l "$(stat -c %s "$1")" "$1.blank" && cat "$1.blank" > "$1"; rm -f "$1.blank"'
  await connections.get(member)?.run({ argv: ['sh', '-c', zero, 'zero', disk], deadline: 120_000 })
}

/** Created in spite of what happened on the way. */
const forgetCreated = async (): Promise<void> => {
  if (trial.stdout.includes('is created')) await forgetVault()
}

/** A created vault comes up, takes files and gives them back. */
const works = async (kind: Kind): Promise<void> => {
  await calm('up', notUp)
  fill(vault)
  const before = hashOf(vault)
  await calm('down', downJudge)
  await calm('up', notUp)
  if (hashOf(vault) !== before) trial.surprise(`create, ${kind}: the files are not what they were`)
  await calm('down', downJudge)
}

const everyCreate = async (kind: Kind): Promise<void> => {
  await calm('provision')
  await forgetVault()
  const found = await left()
  // What cannot be taken down again stays and is told; that the next run goes on from there, the next run shows.
  const clean: Judge = async (_, said) => {
    if (/still (standing: |mounted)/.test(said)) return ''
    const now = await left()
    return now === '' || now === found ? '' : `left ${now}`
  }
  await onward('create', kind, clean)
  await works(kind)
}

/** One member comes and goes again, on a vault that stays mounted; every run goes on where the one before was hit. */
const everyChange = async (verb: 'add' | 'remove', kind: Kind): Promise<void> => {
  await calm('up', notUp)
  if ((verb === 'remove') !== trial.hasNewcomer()) await calm(verb === 'add' ? 'remove' : 'add', notUp)
  const before = hashOf(vault)
  await onward(verb, kind, notUp)
  if (hashOf(vault) !== before) trial.surprise(`${verb}, ${kind}: the files are not what they were`)
}

const tries: Record<string, (kind: Kind) => Promise<void>> = {
  provision: everyProvision,
  create: everyCreate,
  up: (kind) => upOrDown('up', kind),
  down: (kind) => upOrDown('down', kind),
  add: (kind) => everyChange('add', kind),
  remove: (kind) => everyChange('remove', kind),
}

/** Whatever ends a loop, what the others found is told. */
const tryIt = async ({ verb, kind }: Aim, of: number): Promise<void> => {
  trial.aim({ verb, kind }, { of, seed: job.share.seed })
  try {
    await tries[verb]?.(kind)
  } catch (error) {
    trial.surprise(`${verb}, ${kind}: ended by ${error instanceof Error ? error.stack : String(error)}`)
  }
}

if (job.killed) await trial.beKilled(job.killed)
const points: Record<string, Record<string, readonly [number, number]>> = {}
const seconds: Record<string, number> = {}
const stands = job.work.some(({ aim }) => ['up', 'down', 'add', 'remove'].includes(aim.verb))
if (stands) {
  await calm('up', notUp)
  fill(vault)
}
for (const { aim, of } of job.work) {
  if (late()) break
  const began = performance.now()
  await tryIt(aim, of)
  const { verb, kind } = aim
  // Whoever is killed tells nobody what it passed; but there is as much as for the others.
  const others = Object.entries(points[verb] ?? {}).filter(([other]) => kind !== 'hang' && other !== 'hang')
  const all = new Set([...faults.tried, ...faults.met]).size
  const there = Math.max(all, ...others.map(([, [, count]]) => count))
  points[verb] = { ...points[verb], [kind]: [faults.tried.size, there] }
  const before = seconds[`${verb} ${kind}`] ?? 0
  seconds[`${verb} ${kind}`] = before + Math.round((performance.now() - began) / 1000)
}
if (stands) await calm('down', downJudge)
process.stdout.write(`${JSON.stringify({ points, seconds, surprises: trial.surprises })}\n`)
process.exit(0)
