import type { Plugin } from 'vitest/config'
import { defineConfig } from 'vitest/config'

/** A lab test boots kernels; on two busy cores that, and what it then does, takes minutes. */
const patience = 300_000

/** Shell scripts are text, as esbuild's text loader makes them in the bundle. */
const scriptsAsText: Plugin = {
  name: 'scripts-as-text',
  transform: (text, id) => (id.endsWith('.sh') ? `export default ${JSON.stringify(text)}` : null),
}

export default defineConfig({
  plugins: [scriptsAsText],
  test: {
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      {
        extends: true,
        test: {
          name: 'lab',
          include: ['test/lab/**/*.test.ts'],
          testTimeout: patience,
          hookTimeout: patience,
          teardownTimeout: 60_000,
          pool: 'forks',
          // One lab at a time: they share the cores, and what a test leaves behind must be seen by that test.
          fileParallelism: false,
          maxWorkers: 1,
        },
      },
    ],
  },
})
