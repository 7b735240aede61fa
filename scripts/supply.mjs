// What we build on: exact versions, a lockfile that says the same, a hash for every package, no foreign addresses, no
// script of a package run at installation. And, where the registry answers such questions, no known vulnerability.
//   node scripts/supply.mjs            without an answer it says so and goes on: a mirror may not know how to answer
//   node scripts/supply.mjs --strict   without an answer it fails: before a release
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

process.chdir(new URL('..', import.meta.url).pathname)
const read = (file) => readFileSync(file, 'utf8')
const manifest = JSON.parse(read('package.json'))
const lock = JSON.parse(read('package-lock.json'))
const faults = []

const direct = { ...manifest.dependencies, ...manifest.devDependencies }
for (const [name, version] of Object.entries(direct))
  if (!/^\d+\.\d+\.\d+$/.test(version))
    faults.push(`package.json: ${name} is ${version}, not one exact version`)

const { '': root, ...packages } = lock.packages
for (const kind of ['dependencies', 'devDependencies'])
  if (JSON.stringify(root[kind] ?? {}) !== JSON.stringify(manifest[kind] ?? {}))
    faults.push(`package-lock.json was not written for these ${kind}: node scripts/lockfile.mjs`)

let foreign = 0
for (const [place, entry] of Object.entries(packages)) {
  // Prebuilt for another platform, entered by scripts/lockfile.mjs: never fetched here.
  const elsewhere = entry.optional && entry.os && !entry.os.includes('linux')
  if (entry.resolved !== undefined) faults.push(`${place} is bound to an address: ${entry.resolved}`)
  if (entry.link) faults.push(`${place} is a link`)
  if (/^sha512-/.test(entry.integrity ?? '')) continue
  if (entry.optional && entry.os) foreign++
  else if (!elsewhere) faults.push(`${place} has no sha512`)
}

const scripted = Object.entries(packages).flatMap(([place, entry]) => (entry.hasInstallScript ? [place] : []))
if (!/^ignore-scripts=true$/m.test(read('.npmrc')))
  faults.push('.npmrc lets packages run scripts when they are installed')

/** What `npm audit` knows; null when nobody answers. */
const audit = () => {
  const asked = spawnSync('npm', ['audit', '--json'], {
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 64 << 20,
  })
  try {
    const { metadata } = JSON.parse(asked.stdout)
    return metadata.vulnerabilities.total
  } catch {
    return null
  }
}
const known = audit()
if (known === null && process.argv.includes('--strict'))
  faults.push('npm audit: the registry does not answer')
if (known) faults.push(`npm audit: ${known} known vulnerabilities (npm audit shows them)`)

const names = scripted.map((place) => place.replace('node_modules/', ''))
console.log(
  [
    `supply: ${Object.keys(direct).length} direct and ${Object.keys(packages).length} locked packages, each with its sha512`,
    `${foreign} for other platforms by name and version alone`,
    `install scripts of ${names.join(', ') || 'nobody'} not run`,
    known === null ? 'npm audit: NOT ASKED, this registry does not answer' : `npm audit: ${known} known`,
  ].join('; '),
)
for (const fault of faults) console.error(`supply: ${fault}`)
process.exitCode = faults.length > 0 ? 1 : 0
