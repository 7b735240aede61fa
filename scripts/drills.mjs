// `npm run drills`: the fault drills of test/lab/drills/table.json, and their scoreboard.
//   npm run drills                    all
//   npm run drills -- --quick         those that every push has to survive
//   npm run drills -- --only NAME     one, by its name or its number; several with commas between them
//   npm run drills -- --docs          as well as these: puts the results into docs/drills.md

import { drillTable, runDrills, scoreboard, writeDocs } from './drill-run.mjs'
import { build, nodePackages, say, systemPackages } from './lib.mjs'

process.chdir(new URL('..', import.meta.url).pathname)
const flag = (name) => process.argv.includes(name)
const at = process.argv.indexOf('--only')
const only = at === -1 ? null : (process.argv[at + 1] ?? '').split(',')
const isMeant = (row) => only === null || only.some((word) => row.name.includes(word) || `${row.no}` === word)
const chosen = drillTable().filter((row) => isMeant(row) && (!flag('--quick') || row.quick))
if (chosen.length === 0) {
  console.error(
    `no drill is called ${only?.join(' or ')}; the names: ${drillTable()
      .map((row) => row.name)
      .join(', ')}`,
  )
  process.exit(2)
}

nodePackages()
systemPackages()
say('building')
build()
const results = runDrills(chosen)
console.log(`\n${scoreboard(results).join('\n')}`)
if (flag('--docs')) writeDocs(results)
process.exitCode = results.every((row) => row.result !== 'failed') ? 0 : 1
