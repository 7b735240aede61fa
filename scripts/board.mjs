// Tables of things that happen to a vault, each row shown by one test: the drills and the attacks. Chooses rows, runs
// their tests by vitest and makes the scoreboard of what it reports. Used by `npm run drills`, `npm run attacks` and `npm test`.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { build, nodePackages, run, say, systemPackages } from './lib.mjs'

/** Words of one line: a table has no other. */
const cell = (words) => words.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|')

/** Where each board has its things, and what stands in its docs between the number and the result. */
export const boards = {
  drills: {
    word: 'drill',
    folder: 'test/lab/drills',
    numbers: 'CLOUDVAULT_DRILLS',
    columns: ['What happens'],
    cells: ({ title }) => [title],
  },
  attacks: {
    word: 'attack',
    folder: 'test/attacks',
    numbers: 'CLOUDVAULT_ATTACKS',
    columns: ['Attack', 'Noticed by', 'What the person sees'],
    cells: ({ title, noticedBy, sees }) => [title, noticedBy, sees],
  },
}
for (const [name, board] of Object.entries(boards)) board.name = name

/** The rows. One that has `drill` in the place of `file` is shown by that drill, one that has `lab` by that lab test. */
export const tableOf = ({ folder }) => JSON.parse(readFileSync(`${folder}/table.json`, 'utf8'))

/** The part that `npm test` runs: the quick ones, and those that a quick drill or a lab test shows. */
export const quickRows = (board) => {
  const quick = new Set(tableOf(boards.drills).flatMap((row) => (row.quick ? [row.no] : [])))
  return tableOf(board).filter((row) => row.quick || row.lab !== undefined || quick.has(row.drill))
}

/**
 * Runs these rows of a table and writes out/<board>.json.
 * @param seen what ran already and is not run again: results of drills, and the report of the lab tests
 * @returns per row: no, name, title, result ("survived", "failed", "not here"), seconds, why
 */
export const runRows = (board, rows, { drills = [], lab } = {}) => {
  const files = [...new Set(rows.flatMap((row) => row.lab?.file ?? []))]
  const tests = files.length === 0 ? [] : lab ? testsOf(lab) : vitest('lab', files, {})
  const results = collect(board, rows, [...drills, ...drillsFor(rows, drills)], tests)
  const survived = results.filter((row) => row.result === 'survived').length
  const whole = { survived, total: rows.length, [board.name]: results }
  writeFileSync(`out/${board.name}.json`, `${JSON.stringify(whole, null, 2)}\n`)
  return results
}

const drillsFor = (rows, seen) => {
  const missing = tableOf(boards.drills).filter(
    ({ no }) => rows.some((row) => row.drill === no) && !seen.some((drill) => drill.no === no),
  )
  return missing.length === 0 ? [] : collect(boards.drills, missing, [], [])
}

const collect = (board, rows, drills, labTests) => {
  const own = rows.filter((row) => row.notHere === undefined && row.file !== undefined)
  const files = [...new Set(own.map((row) => `${board.folder}/${row.file}.test.ts`))]
  const numbers = { [board.numbers]: own.map((row) => row.no).join(',') }
  const tests = own.length === 0 ? [] : vitest(board.name, files, numbers)
  return rows.map((row) => {
    const { no, name, title } = row
    const { result, seconds, why } = row.drill
      ? ofDrill(row.drill, drills)
      : row.lab
        ? ofTest(
            labTests.find((entry) => entry.title === row.lab.test),
            `${row.lab.file}: as expected`,
          )
        : outcome(board, row, tests)
    return { no, name, title, result, seconds, why }
  })
}

const ofDrill = (no, drills) => {
  const shown = drills.find((drill) => drill.no === no)
  return { ...(shown ?? failed('its drill did not run')), why: `drill ${no}: ${shown?.why ?? ''}` }
}

/** Runs files of one vitest project. @returns its tests, as its report has them */
const vitest = (project, files, numbers) => {
  const report = `out/${project}-vitest.json`
  mkdirSync('out', { recursive: true })
  rmSync(report, { force: true })
  const words = ['--no-install', 'vitest', 'run', '--project', project]
  const reporters = ['--reporter=verbose', '--reporter=json', `--outputFile.json=${report}`]
  run('npx', [...words, ...reporters, ...files], { env: { ...process.env, ...numbers } })
  return testsOf(report)
}

const testsOf = (report) => {
  try {
    return JSON.parse(readFileSync(report, 'utf8')).testResults.flatMap((file) =>
      file.assertionResults.map((test) => ({ ...test, around: wrongAround(file) })),
    )
  } catch {
    return [] // every row then has not run, which is a failure
  }
}

/** What failed in a file besides its rows: "down, and nothing is left", or a hook; undefined when nothing did. */
const wrongAround = ({ assertionResults, status, message }) => {
  const wrong = assertionResults.filter((test) => test.status === 'failed')
  const other = wrong.find((test) => !/^(drill|attack) \d+:/.test(test.title))
  if (other) return `${other.title}: ${other.failureMessages[0] ?? ''}`
  return status === 'failed' && wrong.length === 0 ? `a hook: ${message}` : undefined
}

const failed = (why, seconds = 0) => ({ result: 'failed', seconds, why })

/** A row without a result did not survive: a hook before it failed, or its file could not be loaded. */
const outcome = ({ word }, row, tests) => {
  if (row.notHere !== undefined) return { result: 'not here', seconds: 0, why: row.notHere }
  const test = tests.find((entry) => entry.title.startsWith(`${word} ${row.no}:`))
  const result = ofTest(test, '')
  // What is left behind, or not whole afterwards, belongs to all of the rows before it.
  if (result.result !== 'survived' || test.around === undefined) return result
  return failed(`after it: ${test.around.split('\n')[0]}`, result.seconds)
}

/** @param otherwise what is said of a test that passed and says nothing itself */
const ofTest = (test, otherwise) => {
  if (test === undefined || test.status === 'skipped') return failed('it did not run')
  const seconds = Math.round((test.duration ?? 0) / 100) / 10
  if (test.status === 'passed') return { result: 'survived', seconds, why: test.meta?.shown ?? otherwise }
  return failed((test.failureMessages[0] ?? 'no message').split('\n')[0], seconds)
}

const marks = { survived: '✔', failed: '✖', 'not here': '–' }

/** One line per row, and `survived N/M` last. */
export const scoreboard = (results) => [
  ...results.map(({ no, title, result, seconds, why }) => {
    const time = result === 'not here' ? '' : `${seconds.toFixed(1)} s`
    return `${marks[result]} ${`${no}`.padStart(2)}  ${title}  ${time}\n        ${why}`
  }),
  `survived ${results.filter((row) => row.result === 'survived').length}/${results.length}`,
]

const [begin, end] = ['<!-- scoreboard -->', '<!-- /scoreboard -->']

/** Lines of the scoreboard in a document, by number. */
const linesOf = (text) =>
  new Map([...text.matchAll(/^\| (\d+) \|.*$/gm)].map(([line, no]) => [Number(no), line]))

/**
 * Puts these results into the scoreboard of docs/<board>.md. A row that was not run keeps its line and its day; one that
 * a drill shows has that drill's.
 */
export const writeDocs = (board, results) => {
  const file = `docs/${board.name}.md`
  const text = readFileSync(file, 'utf8')
  const table = tableOf(board)
  const lines = linesOf(text)
  const today = new Date().toISOString().slice(0, 10)
  const drills = linesOf(readFileSync('docs/drills.md', 'utf8'))
  for (const row of table) {
    const [, , , result, time, day, seen] = (drills.get(row.drill) ?? '')
      .split(/(?<!\\)\|/)
      .map((part) => part.trim())
    if (seen === undefined) continue
    const cells = [row.no, ...board.cells(row).map(cell), result, time, day, `drill ${row.drill}: ${seen}`]
    lines.set(row.no, `| ${cells.join(' | ')} |`)
  }
  for (const { no, result, seconds, why } of results) {
    const cells = board.cells(table.find((row) => row.no === no))
    lines.set(no, `| ${[no, ...cells.map(cell), result, `${seconds} s`, today, cell(why)].join(' | ')} |`)
  }
  const sorted = [...lines].sort(([one], [two]) => one - two).map(([, line]) => line)
  const survived = sorted.filter((line) => line.includes(' | survived | ')).length
  const heads = ['#', ...board.columns, 'Result', 'Time', 'Last run', 'What was seen']
  const made = [
    begin,
    `**survived ${survived}/${table.length}**`,
    '',
    `| ${heads.join(' | ')} |`,
    `|${heads.map(() => '---|').join('')}`,
    ...sorted,
    end,
  ].join('\n')
  writeFileSync(
    file,
    text.replace(new RegExp(`${begin}[\\s\\S]*${end}`), () => made),
  )
}

/** The command line of a board: --quick, --only NAME or number (several with commas between them), --docs. */
export const boardMain = (board) => {
  process.chdir(new URL('..', import.meta.url).pathname)
  const at = process.argv.indexOf('--only')
  const only = at === -1 ? null : (process.argv[at + 1] ?? '').split(',')
  const isMeant = ({ no, name }) => only.some((word) => name.includes(word) || `${no}` === word)
  const quick = process.argv.includes('--quick') ? quickRows(board).map((row) => row.no) : null
  const chosen = tableOf(board).filter(
    (row) => (only === null || isMeant(row)) && (quick === null || quick.includes(row.no)),
  )
  if (chosen.length === 0) {
    const names = tableOf(board).map((row) => row.name)
    console.error(`no ${board.word} is called ${only?.join(' or ')}; the names: ${names.join(', ')}`)
    process.exit(2)
  }
  nodePackages()
  systemPackages()
  say('building')
  build()
  const results = runRows(board, chosen)
  console.log(`\n${scoreboard(results).join('\n')}`)
  if (process.argv.includes('--docs')) writeDocs(board, results)
  process.exitCode = results.every((row) => row.result !== 'failed') ? 0 : 1
}
