// `npm run attacks`: what a provider can do, by test/attacks/table.json, and its scoreboard. A row that a drill shows runs that drill.
//   npm run attacks                   all
//   npm run attacks -- --quick        those that every push has to survive, quick drills among them
//   npm run attacks -- --only NAME    one: its name or its number
//   npm run attacks -- --docs         as well as these: puts the results into docs/attacks.md
import { boardMain, boards } from './board.mjs'

boardMain(boards.attacks)
