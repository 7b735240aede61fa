import { availableParallelism } from 'node:os'
import type { Plugin } from 'vitest/config'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** A lab test boots kernels; on two busy cores that, and what it then does, takes minutes. */
const patience = 300_000
const lab = { testTimeout: patience, hookTimeout: patience, teardownTimeout: 60_000, pool: 'forks' } as const

/** Watches what a killed owner leaves until the next start of a lab sweeps it, so nobody may start one meanwhile. */
const alone = 'test/lab/smoke.test.ts'
/** Run by scripts/board.mjs, which chooses among them and makes the scoreboard. */
const drills = 'test/lab/drills/*.test.ts'

/** What a push need not wait for: `npm test -- --long`. */
const long = 'test/lab/long/*.test.ts'

/** Each lab is a machine of its own, and half of a test is waiting for the other side. */
const workers = Math.min(4, Math.max(2, availableParallelism()))

/** By its size vitest would take this one last, and then nothing else runs beside its minutes. */
const longest = 'every-command.test.ts'

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLongest = ({ moduleId }: TestSpecification): boolean => moduleId.endsWith(longest)
    return [...sorted.filter(isLongest), ...sorted.filter((file) => !isLongest(file))]
  }
}

/** Shell scripts are text, as esbuild's text loader makes them in the bundle. */
const scriptsAsText: Plugin = {
  name: 'scripts-as-text',
  transform: (text, id) => (id.endsWith('.sh') ? `export default ${JSON.stringify(text)}` : null),
}

export default defineConfig({
  plugins: [scriptsAsText],
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      // Real programs are started; on a machine that is busy with something else each takes seconds.
      {
        extends: true,
        test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 },
      },
      {
        extends: true,
        test: { name: 'fuzz', include: ['test/fuzz/*.test.ts'], testTimeout: 300_000, hookTimeout: 60_000 },
      },
      { extends: true, test: { ...lab, name: 'lab-alone', include: [alone], maxWorkers: 1 } },
      {
        extends: true,
        test: {
          ...lab,
          name: 'lab',
          include: ['test/lab/**/*.test.ts'],
          exclude: [alone, drills, long],
          fileParallelism: true,
          maxWorkers: workers,
        },
      },
      { extends: true, test: { ...lab, name: 'lab-long', include: [long], maxWorkers: workers } },
      { extends: true, test: { ...lab, name: 'drills', include: [drills], maxWorkers: workers } },
      {
        extends: true,
        test: { ...lab, name: 'attacks', include: ['test/attacks/*.test.ts'], maxWorkers: workers },
      },
    ],
  },
})
