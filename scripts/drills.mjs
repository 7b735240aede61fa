// `npm run drills`: the fault drills of test/lab/drills/table.json, and their scoreboard.
//   npm run drills                    all
//   npm run drills -- --quick         those that every push has to survive
//   npm run drills -- --only NAME     one: its name or its number
//   npm run drills -- --docs          as well as these: puts the results into docs/drills.md
import { boardMain, boards } from './board.mjs'

boardMain(boards.drills)
