import { expect, test } from 'vitest'
import type { Lab } from '../../../lab/index.ts'
import table from './table.json' with { type: 'json' }

/**
 * A drill: something bad happens to a person's vault, on real kernels. The table says what and what is expected; a test
 * file holds the drills of one kind in one lab. `npm run drills` runs them and prints the scoreboard.
 */

declare module 'vitest' {
  interface TaskMeta {
    /** What the drill saw, in one sentence with its numbers; shown on the scoreboard. */
    shown?: string
  }
}

/** Numbers of the drills of this run; none: all. */
const wanted = process.env.CLOUDVAULT_DRILLS?.split(',').map(Number)

/** Enough for several outages and resilvers on a busy machine. */
const usual = 900_000

/**
 * Runs one row of the table, unless this run leaves it out.
 * @param patience milliseconds, for one that takes longer than the others
 * @param body does it, checks it, and answers with what it saw: "longest wait 15.2 s, 221 files right"
 */
export const drill = (
  no: number,
  lab: () => Lab,
  body: () => Promise<string>,
  patience: number = usual,
): void => {
  const row = table.find((entry) => entry.no === no)
  if (row === undefined) throw new Error(`there is no drill ${no} in table.json`)
  if (wanted !== undefined && !wanted.includes(no)) return
  test(
    `drill ${no}: ${row.title}`,
    async ({ task }) => {
      const shown = await body()
      expect(await hurt(lab())).toEqual([])
      task.meta.shown = shown
    },
    patience,
  )
}

/**
 * What no drill may do to the client: a process that nothing can end, or a fault of its kernel. A process may be in
 * the D state for a moment while its disk works; one that stays there for ten seconds is stuck.
 */
const hurt = async (lab: Lab): Promise<string[]> => {
  const script = `
    stuck() { ps -eo pid,stat,args | awk '$2 ~ /^D/ { print "stuck: " $0 }'; }
    i=0; while [ $i -lt 10 ] && [ -n "$(stuck)" ]; do i=$((i+1)); sleep 1; done; stuck
    dmesg | grep -E 'BUG:|Oops|general protection|Kernel panic|blocked for more than' | sed 's/^/kernel: /'
    true`
  return (await lab.client.run(script)).stdout.split('\n').filter((line) => line !== '')
}
