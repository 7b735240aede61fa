// Tables of things that happen to a vault, each row shown by one test: the drills and the attacks. Chooses rows, runs
// their tests by vitest and makes the scoreboard of what it reports. Used by `npm run drills`, `npm run attacks` and `npm test`.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { build, nodePackages, run, say, systemPackages } from './lib.mjs'

const cell = (words) => words.replaceAll('|', '\\|')

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

/** The rows. One that has `drill` in the place of `file` is shown by that drill. */
export const tableOf = ({ folder }) => JSON.parse(readFileSync(`${folder}/table.json`, 'utf8'))

/** Rows of which `npm test` runs a part: the quick ones, and those that a quick drill shows. */
export const quickRows = (board) => {
  const quick = new Set(tableOf(boards.drills).flatMap((row) => (row.quick ? [row.no] : [])))
  return tableOf(board).filter((row) => (row.drill === undefined ? row.quick : quick.has(row.drill)))
}

/**
 * Runs these rows of a table and writes out/<board>.json.
 * @param seen results of drills that ran already; what they show is not run again
 * @returns per row: no, name, title, result ("survived", "failed", "not here"), seconds, why
 */
export const runRows = (board, rows, seen = []) => {
  const results = collect(board, rows, [...seen, ...drillsFor(rows, seen)])
  const survived = results.filter((row) => row.result === 'survived').length
  const whole = { survived, total: rows.length, [board.name]: results }
  writeFileSync(`out/${board.name}.json`, `${JSON.stringify(whole, null, 2)}\n`)
  return results
}

const drillsFor = (rows, seen) => {
  const missing = tableOf(boards.drills).filter(
    ({ no }) => rows.some((row) => row.drill === no) && !seen.some((drill) => drill.no === no),
  )
  return missing.length === 0 ? [] : collect(boards.drills, missing, [])
}

const collect = (board, rows, drills) => {
  const own = rows.filter((row) => row.notHere === undefined && row.drill === undefined)
  const tests = own.length === 0 ? [] : vitest(board, own)
  return rows.map((row) => {
    const { no, name, title } = row
    const shown = drills.find((drill) => drill.no === row.drill)
    const { result, seconds, why } =
      row.drill === undefined
        ? outcome(board, row, tests)
        : { ...(shown ?? failed('its drill did not run')), why: `drill ${row.drill}: ${shown?.why ?? ''}` }
    return { no, name, title, result, seconds, why }
  })
}

const vitest = (board, rows) => {
  const report = `out/${board.name}-vitest.json`
  mkdirSync('out', { recursive: true })
  rmSync(report, { force: true })
  const files = [...new Set(rows.map((row) => `${board.folder}/${row.file}.test.ts`))]
  const words = ['--no-install', 'vitest', 'run', '--project', board.name]
  const reporters = ['--reporter=verbose', '--reporter=json', `--outputFile.json=${report}`]
  run('npx', [...words, ...reporters, ...files], {
    env: { ...process.env, [board.numbers]: rows.map((row) => row.no).join(',') },
  })
  try {
    return JSON.parse(readFileSync(report, 'utf8')).testResults.flatMap((file) => file.assertionResults)
  } catch {
    return [] // every row then has not run, which is a failure
  }
}

const failed = (why, seconds = 0) => ({ result: 'failed', seconds, why })

/** A row without a result did not survive: a hook before it failed, or its file could not be loaded. */
const outcome = ({ word }, row, tests) => {
  if (row.notHere !== undefined) return { result: 'not here', seconds: 0, why: row.notHere }
  const test = tests.find((entry) => entry.title.startsWith(`${word} ${row.no}:`))
  if (test === undefined || test.status === 'skipped') return failed('it did not run')
  const seconds = Math.round((test.duration ?? 0) / 100) / 10
  if (test.status === 'passed') return { result: 'survived', seconds, why: test.meta?.shown ?? '' }
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

/** Puts these results into the scoreboard of docs/<board>.md; a row that was not run keeps its line and its day. */
export const writeDocs = (board, results) => {
  const file = `docs/${board.name}.md`
  const text = readFileSync(file, 'utf8')
  const table = tableOf(board)
  const lines = new Map([...text.matchAll(/^\| (\d+) \|.*$/gm)].map(([line, no]) => [Number(no), line]))
  const today = new Date().toISOString().slice(0, 10)
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
