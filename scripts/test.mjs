// `npm test`: everything, from a fresh clone on a bare Debian 12 with Node and npm. Sets this machine up, then lint,
// types, structure, packaging, unit tests, the lab, the quick drills and attacks, and a minute of soak. Ends with the
// plain line "N passed, N failed".
//   npm test                    what every push has to pass
//   npm test -- --long          as well as these: the long lab tests, every drill, every attack, ten minutes of soak
//   npm test -- --only unit     one part: checks, unit, fuzz, lab, drills, attacks or soak
//   npm test -- --only lab NAME lab test files whose path contains NAME
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { boards, quickRows, runRows, scoreboard, tableOf } from './board.mjs'
import { nodePackages, run, say, systemPackages } from './lib.mjs'

process.chdir(new URL('..', import.meta.url).pathname)
const words = process.argv.slice(2).filter((word) => word !== '--long')
const everything = process.argv.includes('--long')
const [flag, only = null, ...filter] = words
if (flag !== undefined && (flag !== '--only' || only === null)) {
  console.error('npm test [-- [--long] [--only checks|unit|fuzz|lab|drills|attacks|soak [NAME …]]]')
  process.exit(2)
}
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
  // A filter names files of any of them.
  const files = only === 'lab' ? filter : []
  const inFolder = (folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => `${folder}/${name}`)
  const alone = 'test/lab/smoke.test.ts'
  const projects = { 'lab-alone': [alone], lab: inFolder('test/lab').filter((file) => file !== alone) }
  if (everything || files.length > 0) projects['lab-long'] = inFolder('test/lab/long')
  for (const [project, own] of Object.entries(projects))
    if (files.length === 0 || own.some((file) => files.some((name) => file.includes(name))))
      suite(project, files)
}
/** Runs the quick rows of a board, or all of them. @param seen what ran already */
const board = ({ word, ...rest }, seen) => {
  say(everything ? rest.name : `${rest.name}, the quick half`)
  const results = runRows({ word, ...rest }, everything ? tableOf(rest) : quickRows(rest), seen)
  for (const line of scoreboard(results)) console.log(line)
  for (const { no, title, result } of results) count(`${word} ${no}: ${title}`, result === 'survived')
  return results
}

const drills = wanted('drills') ? board(boards.drills, {}) : []
if (wanted('attacks')) board(boards.attacks, { drills, ...(only === null ? { lab: 'out/lab.json' } : {}) })

if (wanted('soak'))
  check('soak under faults', process.execPath, ['scripts/soak.mjs', '--minutes', everything ? '10' : '1'])

if (tally.inputs > 0) say(`${tally.inputs} made-up inputs to the readers of what comes from outside`)
for (const name of tally.broken) console.log(`failed: ${name}`)
say(`${Math.round((Date.now() - started) / 1000)} s`)
console.log(`${tally.passed} passed, ${tally.failed} failed`)
process.exitCode = tally.failed === 0 ? 0 : 1
