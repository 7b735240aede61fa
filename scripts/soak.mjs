// `npm run soak`: work on a vault while one fault after the other hits its members (lab/soak/). Prints what was done
// and survived, writes out/soak.json.
//   npm run soak                    one minute of faults
//   npm run soak -- --minutes 10    the long one
//   npm run soak -- --seed 7        these faults in this order
import { bundling } from './bundling.mjs'
import { build, nodePackages, run, say, systemPackages } from './lib.mjs'

process.chdir(new URL('..', import.meta.url).pathname)
nodePackages()
systemPackages()
say('building')
build()
const esbuild = await import('esbuild')
await esbuild.build({
  entryPoints: ['lab/soak/main.ts'],
  outfile: 'out/soak.mjs',
  ...bundling,
})
process.exitCode = run(process.execPath, ['out/soak.mjs', ...process.argv.slice(2)])
