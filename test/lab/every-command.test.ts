import { build } from 'esbuild'
import { beforeAll, expect, test } from 'vitest'
import { labProfile, leftOnClient, leftOnServer, useLab, verb } from './support.ts'

/** Loops, not samples: every single external command and call of `up` and of `down` fails once, on real kernels. */
const lab = useLab({ servers: 2 })

beforeAll(async () => {
  await labProfile(lab())
  await verb(lab(), ['provision', 'photos'])
  await verb(lab(), ['create', 'photos', '--confirm', 'photos'])
  await build({
    entryPoints: ['test/lab/drivers/failing.ts'],
    outfile: 'out/drivers/failing.mjs',
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: ['koffi', 'cpu-features'],
    loader: { '.node': 'empty', '.sh': 'text' },
    banner: {
      js: "import { createRequire as __r } from 'node:module'; import { fileURLToPath as __f } from 'node:url'; import { dirname as __d } from 'node:path'; const require = __r(import.meta.url); const __filename = __f(import.meta.url); const __dirname = __d(__filename);",
    },
  })
})

test('whichever command of up or down fails, nothing is left half done and the next run converges', async () => {
  const [node = '', program = ''] = lab().client.cloudvaultArgv([])
  const driver = `${lab().client.repository}/out/drivers/failing.mjs`
  const ran = await lab().client.run([node, driver, JSON.stringify([node, program])], {
    deadlineMs: 1_500_000,
  })
  const { ups, downs, surprises } = JSON.parse(ran.stdout.trim().split('\n').at(-1) ?? '{}')
  console.log(`every command: ${ups} points of up, ${downs} points of down`)
  expect(surprises).toEqual([])
  expect(ups).toBeGreaterThan(30)
  expect(downs).toBeGreaterThan(20)
  expect(await leftOnClient(lab())).toEqual([])
  for (const server of lab().servers) expect(await leftOnServer(server)).toEqual([])
}, 1_600_000)
