/**
 * How everything of ours is bundled: one ES module for the lowest supported Node. Some packages inside are CommonJS and
 * ask for `require`; koffi and ssh2's optional native parts load their own binaries. Shell scripts and C are text.
 */
export const bundling = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
  external: ['koffi', 'cpu-features'],
  loader: { '.node': 'empty', '.sh': 'text', '.c': 'text' },
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; import { fileURLToPath as __fileURLToPath } from 'node:url'; import { dirname as __dirnameOf } from 'node:path'; const require = __createRequire(import.meta.url); const __filename = __fileURLToPath(import.meta.url); const __dirname = __dirnameOf(__filename);",
  },
}
