// `npm run test:matrix`: the unit tests under every Node line that people run, from the floor in package.json up.
import { spawnSync } from 'node:child_process'
import { nodePackages, run, say, systemPackages } from './lib.mjs'

process.chdir(new URL('..', import.meta.url).pathname)
nodePackages()
systemPackages()
const versions = ['20', '22', '24', '26']
const failed = []
for (const version of versions) {
  const own = process.versions.node.split('.')[0] === version
  const node = own ? [process.execPath] : ['npx', '-y', `node@${version}`]
  const shown = spawnSync(node[0], [...node.slice(1), '--version'], { encoding: 'utf8' }).stdout?.trim()
  say(`node ${shown || version}`)
  const code = run(node[0], [...node.slice(1), 'node_modules/vitest/vitest.mjs', 'run', '--project', 'unit'])
  if (code !== 0 || !shown) failed.push(version)
}
console.log(
  failed.length === 0
    ? `unit tests pass under Node ${versions.join(', ')}`
    : `failed under Node ${failed.join(', ')}`,
)
process.exitCode = failed.length === 0 ? 0 : 1
