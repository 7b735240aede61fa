// Runs drills by vitest and makes the scoreboard of what it reports. Used by `npm run drills` and by `npm test`.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { run } from './lib.mjs'

export const drillTable = () => JSON.parse(readFileSync('test/lab/drills/table.json', 'utf8'))

/**
 * Runs these rows of the table and writes out/drills.json.
 * @returns per row: no, name, title, result ("survived", "failed", "not here"), seconds, why
 */
export const runDrills = (rows) => {
  const here = rows.filter((row) => row.notHere === undefined)
  const report = 'out/drills-vitest.json'
  mkdirSync('out', { recursive: true })
  rmSync(report, { force: true })
  if (here.length > 0) {
    const files = [...new Set(here.map((row) => `test/lab/drills/${row.file}.test.ts`))]
    const words = [
      '--no-install',
      'vitest',
      'run',
      '--project',
      'drills',
      '--reporter=verbose',
      '--reporter=json',
    ]
    run('npx', [...words, `--outputFile.json=${report}`, ...files], {
      env: { ...process.env, CLOUDVAULT_DRILLS: here.map((row) => row.no).join(',') },
    })
  }
  const tests = testsOf(report)
  const drills = rows.map((row) => ({ no: row.no, name: row.name, title: row.title, ...outcome(row, tests) }))
  const survived = drills.filter((row) => row.result === 'survived').length
  writeFileSync('out/drills.json', `${JSON.stringify({ survived, total: rows.length, drills }, null, 2)}\n`)
  return drills
}

const testsOf = (report) => {
  try {
    return JSON.parse(readFileSync(report, 'utf8')).testResults.flatMap((file) => file.assertionResults)
  } catch {
    return [] // every drill then has not run, which is a failure
  }
}

/** A drill without a result did not survive: a hook before it failed, or its file could not be loaded. */
const outcome = (row, tests) => {
  if (row.notHere !== undefined) return { result: 'not here', seconds: 0, why: row.notHere }
  const test = tests.find((entry) => entry.title.startsWith(`drill ${row.no}:`))
  if (test === undefined || test.status === 'skipped')
    return { result: 'failed', seconds: 0, why: 'it did not run' }
  const seconds = Math.round((test.duration ?? 0) / 100) / 10
  if (test.status === 'passed') return { result: 'survived', seconds, why: test.meta?.shown ?? '' }
  return { result: 'failed', seconds, why: (test.failureMessages[0] ?? 'no message').split('\n')[0] }
}

const marks = { survived: '✔', failed: '✖', 'not here': '–' }

/** One line per drill, and `survived N/M` last. */
export const scoreboard = (drills) => [
  ...drills.map(({ no, title, result, seconds, why }) => {
    const time = result === 'not here' ? '' : `${seconds.toFixed(1)} s`
    return `${marks[result]} ${`${no}`.padStart(2)}  ${title}  ${time}\n        ${why}`
  }),
  `survived ${drills.filter((row) => row.result === 'survived').length}/${drills.length}`,
]

const [begin, end] = ['<!-- scoreboard -->', '<!-- /scoreboard -->']

/** Puts these results into the scoreboard of docs/drills.md; a drill that was not run keeps its row and its day. */
export const writeDocs = (drills) => {
  const file = 'docs/drills.md'
  const text = readFileSync(file, 'utf8')
  const rows = new Map([...text.matchAll(/^\| (\d+) \|.*$/gm)].map(([line, no]) => [Number(no), line]))
  const cell = (words) => words.replaceAll('|', '\\|')
  const today = new Date().toISOString().slice(0, 10)
  for (const { no, title, result, seconds, why } of drills)
    rows.set(no, `| ${no} | ${cell(title)} | ${result} | ${seconds} s | ${today} | ${cell(why)} |`)
  const lines = [...rows].sort(([one], [two]) => one - two).map(([, line]) => line)
  const survived = lines.filter((line) => line.includes(' | survived | ')).length
  const made = [
    begin,
    `**survived ${survived}/${drillTable().length}**`,
    '',
    '| # | What happens | Result | Time | Last run | What was seen |',
    '|---|---|---|---|---|---|',
    ...lines,
    end,
  ].join('\n')
  writeFileSync(
    file,
    text.replace(new RegExp(`${begin}[\\s\\S]*${end}`), () => made),
  )
}
