// `npm run demo`: from a fresh clone on a bare Debian 12. Sets this machine up, then plays lab/demo.ts.
import { bundling } from './bundling.mjs'
import { nodePackages, run, say } from './lib.mjs'

process.chdir(new URL('..', import.meta.url).pathname)
nodePackages()
say('building')
if (run(process.execPath, ['scripts/build.mjs']) !== 0) process.exit(1)
const { build } = await import('esbuild')
await build({
  entryPoints: ['lab/demo.ts'],
  outfile: 'out/demo.mjs',
  ...bundling,
})
process.exitCode = run(process.execPath, ['out/demo.mjs'])
