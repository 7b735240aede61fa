// `npm test`: everything, from a fresh clone on a bare Debian 12 with Node and npm. Sets this machine up, then lint,
// types, structure, packaging, unit tests, the lab, the quick drills and a minute of soak. Ends with the plain line "N passed, N failed".
//   npm test                    all
//   npm test -- --only unit     one part: checks, unit, fuzz, lab, drills, attacks or soak
//   npm test -- --only lab NAME lab test files whose path contains NAME
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { boards, quickRows, runRows, scoreboard } from './board.mjs'
import { nodePackages, run, say, systemPackages } from './lib.mjs'

process.chdir(new URL('..', import.meta.url).pathname)
const at = process.argv.indexOf('--only')
const only = at === -1 ? null : process.argv[at + 1]
const filter = at === -1 ? [] : process.argv.slice(at + 2)
const wanted = (part) => only === null || only === part

const tally = { passed: 0, failed: 0, broken: [], inputs: 0 }
const count = (name, good) => {
  if (good) tally.passed++
  else {
    tally.failed++
    tally.broken.push(name)
  }
}

const started = Date.now()
nodePackages()
systemPackages()

const check = (name, program, args) => {
  say(name)
  count(name, run(program, args) === 0)
}

if (wanted('checks')) {
  check('format and lint', 'npx', ['--no-install', 'biome', 'ci', '.', '--error-on-warnings'])
  check('types', 'npx', ['--no-install', 'tsc', '-p', '.'])
  check('one-way imports, one place per library', process.execPath, ['scripts/imports.mjs'])
  check('dead code and unused packages', 'npx', ['--no-install', 'knip'])
  check('dependencies', process.execPath, ['scripts/supply.mjs'])
}
check('build', process.execPath, ['scripts/build.mjs'])
if (wanted('checks')) check('the packed tarball runs elsewhere', process.execPath, ['scripts/pack.mjs'])

/** Runs one vitest project; the counts come from its own report, and a report without tests is a failure. */
const suite = (project, files) => {
  say(`${project} tests`)
  mkdirSync('out', { recursive: true })
  const report = `out/${project}.json`
  rmSync(report, { force: true })
  const code = run('npx', [
    '--no-install',
    'vitest',
    'run',
    '--project',
    project,
    '--reporter=verbose',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...files,
  ])
  let seen
  try {
    seen = JSON.parse(readFileSync(report, 'utf8'))
  } catch {
    return count(`${project} tests left no report`, false)
  }
  tally.passed += seen.numPassedTests
  tally.failed += seen.numFailedTests
  for (const file of seen.testResults)
    for (const test of file.assertionResults) {
      if (test.status === 'failed') tally.broken.push(test.fullName)
      tally.inputs += test.meta?.inputs ?? 0
    }
  if (seen.numPendingTests + seen.numTodoTests > 0)
    count(`${project}: ${seen.numPendingTests + seen.numTodoTests} tests were skipped`, false)
  if (seen.numPassedTests === 0) count(`${project}: no test ran`, false)
  else if (code !== 0 && seen.numFailedTests === 0) count(`${project}: a test file could not be run`, false)
}

if (wanted('unit')) suite('unit', only === 'unit' ? filter : [])
if (wanted('fuzz')) suite('fuzz', [])
if (wanted('lab')) {
  // A filter names files of either.
  const files = only === 'lab' ? filter : []
  if (files.length === 0 || files.some((name) => 'test/lab/smoke.test.ts'.includes(name)))
    suite('lab-alone', files)
  if (files.length === 0 || files.some((name) => !'test/lab/smoke.test.ts'.includes(name)))
    suite('lab', files)
}
/** Runs the quick rows of a board. @param seen what ran already */
const board = ({ word, ...rest }, seen) => {
  say(`${rest.name}, the quick half`)
  const results = runRows({ word, ...rest }, quickRows(rest), seen)
  for (const line of scoreboard(results)) console.log(line)
  for (const { no, title, result } of results) count(`${word} ${no}: ${title}`, result === 'survived')
  return results
}

const drills = wanted('drills') ? board(boards.drills, {}) : []
if (wanted('attacks')) board(boards.attacks, { drills, ...(only === null ? { lab: 'out/lab.json' } : {}) })

if (wanted('soak'))
  check('soak, one minute of faults', process.execPath, ['scripts/soak.mjs', '--minutes', '1'])

if (tally.inputs > 0) say(`${tally.inputs} made-up inputs to the readers of what comes from outside`)
for (const name of tally.broken) console.log(`failed: ${name}`)
say(`${Math.round((Date.now() - started) / 1000)} s`)
console.log(`${tally.passed} passed, ${tally.failed} failed`)
process.exitCode = tally.failed === 0 ? 0 : 1
