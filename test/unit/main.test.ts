import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { build } from 'esbuild'
import { expect, test } from 'vitest'
import { bundling } from '../../scripts/bundling.mjs'

/** The whole program as a process, where that alone shows it. */

test('who reads its output may leave: no stack, and the verb ends as it would have', async () => {
  const outdir = 'out/main'
  await build({
    entryPoints: ['src/main.ts'],
    outdir,
    ...bundling,
    splitting: true,
  })
  const child = spawn(process.execPath, [`${outdir}/main.js`, 'schema'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.destroy()
  let said = ''
  child.stderr.on('data', (data) => {
    said += data
  })
  const [code] = await once(child, 'exit')
  expect({ code, said }).toEqual({ code: 0, said: '' })
})
