import { rowsOf } from '../board.ts'
import table from './table.json' with { type: 'json' }

/** A drill: something bad happens to a person's vault. `npm run drills` runs them and prints the scoreboard. */
export const drill = rowsOf('drill', table, process.env.CLOUDVAULT_DRILLS)
