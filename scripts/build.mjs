// Builds dist/ with esbuild: one bundle, split so that a verb loads only what it needs. The checked rule: before the
// verb is known, nothing but commander is loaded.
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'
import { bundling } from './bundling.mjs'

const out = 'dist'
rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
const result = await build({
  entryPoints: { main: 'src/main.ts' },
  ...bundling,
  splitting: true,
  outdir: out,
  metafile: true,
  legalComments: 'linked',
})
writeFileSync(`${out}/meta.json`, JSON.stringify(result.metafile))
cpSync('profiles/profile.schema.json', `${out}/profile.schema.json`)

/** Everything that is loaded by static imports from one output file on. */
const eager = (file, seen = new Set()) => {
  if (seen.has(file)) return seen
  seen.add(file)
  for (const entry of result.metafile.outputs[file]?.imports ?? []) {
    if (entry.kind === 'import-statement' && !entry.external) eager(entry.path, seen)
  }
  return seen
}
const packagesOf = (files) =>
  new Set(
    [...files].flatMap((file) =>
      Object.keys(result.metafile.outputs[file]?.inputs ?? {})
        .map((input) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1])
        .filter(Boolean),
    ),
  )
const outputOf = (source) =>
  Object.entries(result.metafile.outputs).find(([, o]) => o.entryPoint === source)?.[0]
for (const source of ['src/main.ts', 'src/cli/program.ts']) {
  const file = outputOf(source)
  if (!file) throw new Error(`the build has no entry for ${source}`)
  const found = packagesOf(eager(file))
  found.delete('commander')
  if (found.size > 0) {
    console.error(`build: ${source} loads ${[...found].join(', ')} before the verb is known`)
    process.exit(1)
  }
}
console.log(`build: ${Object.keys(result.metafile.outputs).length} files in ${out}/`)
