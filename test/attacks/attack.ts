import { rowsOf } from '../lab/board.ts'
import table from './table.json' with { type: 'json' }

/**
 * An attack: what a provider can do with its server, its disk, its network and every past snapshot. `npm run attacks`
 * runs them and prints the scoreboard; some rows of the table are shown by a drill and have no test here.
 */
export const attack = rowsOf('attack', table, process.env.CLOUDVAULT_ATTACKS)
