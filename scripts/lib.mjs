// What the scripts share: run something visibly, and set this machine up. Plain JavaScript, because it runs before
// anything is installed.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

/** Runs a program with its output on our own, and answers its exit code. */
export const run = (program, args, options = {}) =>
  spawnSync(program, args, { stdio: 'inherit', timeout: 90 * 60_000, ...options }).status ?? 1

export const say = (text) => console.log(`== ${text}`)

/** Ends with a sentence instead of a stack. Not inside a try whose finally must run: process.exit skips it. */
const stop = (text, code = 1) => {
  console.error(text)
  process.exit(code)
}

/** The floor is package.json's. Debian 12's own nodejs (18) is below it, and would fail in words of its own. */
const nodeFloor = () => {
  const floor = JSON.parse(readFileSync('package.json', 'utf8')).engines.node.replace('>=', '')
  const [major, minor] = floor.split('.').map(Number)
  const [ownMajor, ownMinor] = process.versions.node.split('.').map(Number)
  if (ownMajor > major || (ownMajor === major && ownMinor >= minor)) return
  stop(`Node ${floor} or newer is needed, and this is ${process.version}   (see https://nodejs.org)`, 3)
}

const has = (program) => spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0

/** Installs the node packages of the lockfile, unless exactly these are installed. */
export const nodePackages = () => {
  nodeFloor()
  const hash = createHash('sha256').update(readFileSync('package-lock.json')).digest('hex')
  const stamp = 'node_modules/.cloudvault-lock'
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return
  say('installing node packages (npm ci)')
  if (!has('npm')) stop('npm is needed and not here; it comes with Node', 3)
  if (run('npm', ['ci', '--no-audit', '--no-fund']) !== 0) stop('the node packages could not be installed')
  mkdirSync('node_modules', { recursive: true })
  writeFileSync(stamp, hash)
}

/** Program → Debian package: what the unit tests run for real. The lab installs its own. */
const programs = {
  nbdkit: 'nbdkit',
  'nbd-server': 'nbd-server',
  cryptsetup: 'cryptsetup-bin',
  ssh: 'openssh-client',
  sshd: 'openssh-server',
  expect: 'expect',
  flock: 'util-linux',
  git: 'git',
}

/** Installs what is missing with apt-get; without root it says what is needed. */
export const systemPackages = () => {
  const path = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`
  process.env.PATH = path
  const missing = [
    ...new Set(
      Object.entries(programs)
        .filter(([program]) => !has(program))
        .map(([, name]) => name),
    ),
  ]
  if (missing.length === 0) return
  const command = `apt-get install ${missing.join(' ')}`
  if (process.getuid?.() !== 0 || !has('apt-get'))
    stop(`needed and not here: ${missing.join(' ')}   (as root: ${command})`, 3)
  say(`installing ${missing.join(', ')} (apt-get)`)
  const said = []
  const install = ['install', '--no-install-recommends', ...missing]
  // `update` succeeds without having reached any archive, and only warns: its words are the cause when `install` fails.
  if (withoutServices(() => aptGet(['update'], said) && aptGet(install, said))) return
  stop([...said, `${command} did not succeed`].filter(Boolean).join('\n'))
}

/**
 * Does the work while no service may start: servers that come with packages have no business on the machine that only
 * tests them. Ctrl-C ends apt-get and not us, so that the file cannot stay; one that a hard kill left is ours to remove.
 */
const withoutServices = (work) => {
  const file = '/usr/sbin/policy-rc.d'
  const text = '#!/bin/sh\n# cloudvault: no service starts while its packages are installed\nexit 101\n'
  if (existsSync(file) && readFileSync(file, 'utf8') !== text) return work()
  const hold = () => {}
  process.on('SIGINT', hold)
  process.on('SIGTERM', hold)
  writeFileSync(file, text, { mode: 0o755 })
  try {
    return work()
  } finally {
    rmSync(file, { force: true })
    process.off('SIGINT', hold)
    process.off('SIGTERM', hold)
  }
}

/** Runs apt-get in silence; its warnings and errors go into `said`. */
const aptGet = (args, said) => {
  const done = spawnSync(
    'apt-get',
    ['-q', '-y', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3', ...args],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 30 * 60_000,
      maxBuffer: 64 << 20,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    },
  )
  said.push(`${done.stderr ?? ''}${done.error?.message ?? ''}`.trim())
  return done.status === 0
}

/** dist/, made anew: it takes less than a second. */
export const build = () => {
  if (run(process.execPath, ['scripts/build.mjs']) !== 0) process.exit(1)
}
