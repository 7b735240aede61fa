// What the scripts share: run something visibly, and set this machine up. Plain JavaScript, because it runs before
// anything is installed.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'

/** Runs a program with its output on our own, and answers its exit code. */
export const run = (program, args, options = {}) =>
  spawnSync(program, args, { stdio: 'inherit', timeout: 90 * 60_000, ...options }).status ?? 1

export const say = (text) => console.log(`== ${text}`)

const has = (program) => spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0

/** Installs the node packages of the lockfile, unless exactly these are installed. */
export const nodePackages = () => {
  const hash = createHash('sha256').update(readFileSync('package-lock.json')).digest('hex')
  const stamp = 'node_modules/.cloudvault-lock'
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return
  say('installing node packages (npm ci)')
  if (run('npm', ['ci', '--no-audit', '--no-fund']) !== 0) process.exit(1)
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
  if (process.getuid?.() !== 0 || !has('apt-get')) {
    console.error(
      `needed and not here: ${missing.join(' ')}   (as root: apt-get install ${missing.join(' ')})`,
    )
    process.exit(3)
  }
  say(`installing ${missing.join(', ')} (apt-get)`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const apt = ['-q', '-y', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3']
  // Servers that come with the packages must not start on the machine that only tests them.
  const noStart = !existsSync('/usr/sbin/policy-rc.d')
  if (noStart) writeFileSync('/usr/sbin/policy-rc.d', '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    if (run('apt-get', [...apt, 'update'], { env, stdio: 'ignore' }) !== 0) process.exit(1)
    if (
      run('apt-get', [...apt, 'install', '--no-install-recommends', ...missing], {
        env,
        stdio: ['ignore', 'ignore', 'inherit'],
      }) !== 0
    )
      process.exit(1)
  } finally {
    if (noStart) spawnSync('rm', ['-f', '/usr/sbin/policy-rc.d'])
  }
}

/** dist/, made anew: it takes less than a second. */
export const build = () => {
  if (run(process.execPath, ['scripts/build.mjs']) !== 0) process.exit(1)
}
