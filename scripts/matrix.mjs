// `npm run test:matrix`: the unit tests under every Node line that people run, from the floor in package.json up. Each
// comes from the registry as the package of this platform: the package `node` needs an install script, which .npmrc
// forbids, and `npx node@22` then quietly runs whatever node is on the PATH.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { nodePackages, run, say, systemPackages } from './lib.mjs'

process.chdir(new URL('..', import.meta.url).pathname)
nodePackages()
systemPackages()
const lines = ['20.19', '22', '24', '26']

/** Installs the newest Node of a line under out/ and answers the folder of its program. */
const fetched = (line) => {
  const folder = resolve('out', `node-${line}`)
  mkdirSync(folder, { recursive: true })
  const name = `node-${process.platform}-${process.arch}`
  const options = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error']
  run('npm', ['install', '--prefix', folder, ...options, `${name}@${line}`])
  return join(folder, 'node_modules', name, 'bin')
}

const failed = []
for (const line of lines) {
  const bin = fetched(line)
  const node = join(bin, 'node')
  const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? ''
  say(`node ${version || `${line}: could not be installed`}`)
  // The tests start programs that find node on the PATH.
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` }
  const words = ['node_modules/vitest/vitest.mjs', 'run', '--project', 'unit']
  const good = version.startsWith(`v${line}.`) && run(node, words, { env }) === 0
  if (!good) failed.push(line)
}
console.log(
  failed.length === 0
    ? `unit tests pass under Node ${lines.join(', ')}`
    : `failed under Node ${failed.join(', ')}`,
)
process.exitCode = failed.length === 0 ? 0 : 1
