// `npm run fuzz`: the property tests with inputs that were never tried, and more of them than `npm test` draws.
//   npm run fuzz -- --times 10      ten times as many
//   npm run fuzz -- --seed 42       the very inputs of an earlier run
import { mkdirSync, readFileSync } from 'node:fs'
import { nodePackages, run, say } from './lib.mjs'

process.chdir(new URL('..', import.meta.url).pathname)
const value = (name, otherwise) => {
  const at = process.argv.indexOf(name)
  return at === -1 ? otherwise : Number(process.argv[at + 1])
}
const seed = value('--seed', Math.floor(Math.random() * 2 ** 31))
const times = value('--times', 1)
if (!Number.isInteger(seed) || !(times > 0)) {
  console.error('--seed takes a whole number, --times one above 0')
  process.exit(2)
}

nodePackages()
say(`seed ${seed}`)
mkdirSync('out', { recursive: true })
const words = ['--no-install', 'vitest', 'run', '--project', 'fuzz', '--reporter=verbose', '--reporter=json']
const env = { ...process.env, CLOUDVAULT_FUZZ_SEED: `${seed}`, CLOUDVAULT_FUZZ_TIMES: `${times}` }
process.exitCode = run('npx', [...words, '--outputFile.json=out/fuzz.json'], { env })
const tests = JSON.parse(readFileSync('out/fuzz.json', 'utf8')).testResults.flatMap(
  (file) => file.assertionResults,
)
const inputs = tests.reduce((sum, { meta }) => sum + (meta?.inputs ?? 0), 0)
console.log(`${inputs} inputs to ${tests.length} readers, seed ${seed}`)
