// Writes package-lock.json. Run it with the floor's Node after changing a dependency. A registry mirror that does not
// carry the prebuilt packages of other platforms leaves them out, and `npm ci` then refuses the lockfile everywhere;
// they are entered here by name and exact version (npm never fetches what is for another platform).
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './lib.mjs'

process.chdir(new URL('..', import.meta.url).pathname)
const folder = mkdtempSync(join(tmpdir(), 'cloudvault-lock-'))
try {
  for (const file of ['package.json', '.npmrc']) cpSync(file, join(folder, file))
  if (run('npm', ['install', '--package-lock-only'], { cwd: folder }) !== 0) process.exit(1)
  const lock = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8'))
  const platforms = [
    'aix',
    'android',
    'darwin',
    'freebsd',
    'linux',
    'netbsd',
    'openbsd',
    'openharmony',
    'sunos',
    'win32',
    'wasm32',
  ]
  let added = 0
  for (const parent of Object.values(lock.packages)) {
    for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
      const key = `node_modules/${name}`
      const os = platforms.find((word) => name.includes(word))
      if (lock.packages[key] || !os || !/^\d/.test(version)) continue
      // libc keeps npm from taking a musl build on a glibc machine.
      const libc = /musl/.test(name) ? { libc: ['musl'] } : {}
      const cpu = /(arm64|x64|ia32|arm|ppc64|riscv64|loong64|s390x|wasm32)/.exec(name)?.[1] ?? 'x64'
      lock.packages[key] = {
        version,
        ...(parent.dev ? { dev: true } : {}),
        optional: true,
        os: [os],
        cpu: [cpu],
        ...libc,
      }
      added++
    }
  }
  const sorted = Object.keys(lock.packages).sort((a, b) => (a < b ? -1 : 1))
  lock.packages = Object.fromEntries(sorted.map((key) => [key, lock.packages[key]]))
  writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`)
  console.log(`lockfile: ${sorted.length} packages, ${added} of other platforms entered by hand`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
