// Writes profiles/profile.schema.json from the Zod source; `--check` only says whether it is up to date (exit 1: not).
// Bundled first, because Node 20 does not run TypeScript.
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { bundling } from './bundling.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const target = `${root}profiles/profile.schema.json`

const bundle = await build({
  entryPoints: [`${root}src/profile/manual.ts`],
  ...bundling,
  banner: {}, // imported as a data: URL, from which no `require` can be made
  write: false,
})
const code = Buffer.from(bundle.outputFiles[0].contents).toString('base64')
const { jsonSchemaText } = await import(`data:text/javascript;base64,${code}`)

if (process.argv.includes('--check')) {
  const shipped = await readFile(target, 'utf8').catch(() => '')
  if (shipped !== jsonSchemaText()) {
    console.error('profiles/profile.schema.json is stale: run `node scripts/schema.mjs`')
    process.exit(1)
  }
} else await writeFile(target, jsonSchemaText())
