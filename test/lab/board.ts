import { expect, test } from 'vitest'
import type { Lab } from '../../lab/index.ts'

/**
 * A row of a table (drills, attacks): something bad happens to a person's vault, on real kernels. The table says what,
 * and what is expected; a test file holds the rows of one kind in one lab. scripts/board.mjs runs them and prints the scoreboard.
 */

declare module 'vitest' {
  interface TaskMeta {
    /** What was seen, in one sentence with its numbers; shown on the scoreboard. */
    shown?: string
  }
}

interface Row {
  readonly no: number
  readonly title: string
}

/** Enough for several outages and resilvers on a busy machine. */
const usual = 900_000

/**
 * Runs one row of the table, unless this run leaves it out.
 * @param patience milliseconds, for one that takes longer than the others
 * @param body does it, checks it, and answers with what it saw: "longest wait 15.2 s, 221 files right"
 */
export type RunRow = (no: number, lab: () => Lab, body: () => Promise<string>, patience?: number) => void

/** @param numbers the rows of this run, "3,4"; undefined: all */
export const rowsOf = (word: string, table: readonly Row[], numbers: string | undefined): RunRow => {
  const wanted = numbers?.split(',').map(Number)
  return (no, lab, body, patience = usual) => {
    const row = table.find((entry) => entry.no === no)
    if (row === undefined) throw new Error(`there is no ${word} ${no} in its table.json`)
    if (wanted !== undefined && !wanted.includes(no)) return
    test(
      `${word} ${no}: ${row.title}`,
      async ({ task }) => {
        const shown = await body()
        expect(await hurt(lab())).toEqual([])
        task.meta.shown = shown
      },
      patience,
    )
  }
}

/**
 * What nothing may do to the client: a process that nothing can end, or a fault of its kernel. A process may be in
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
