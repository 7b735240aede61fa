// Checks the structure: arrows between folders go one way, and each outside library has one place.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** A file may import from its own folder, from any folder further down this list, and from the leaves. */
const order = ['cli', 'ui', 'vault', 'stack', 'server', 'keyring', 'record', 'profile', 'engine', 'host']
/** Vocabulary that anybody may use. */
const leaves = ['src/fault.ts', 'src/names.ts', 'src/profile/profile.ts']
/** ui/ draws what cli/ hands it; it may know the shapes of the report and of the world, and nothing that acts. */
const shapes = ['src/vault/status.ts', 'src/cli/world.ts', 'src/engine/events.ts', 'src/host/secret.ts']

const places = {
  execa: ['src/host/local.ts', 'src/host/ssh/jump.ts'],
  ssh2: ['src/host/ssh', 'src/host/ssh.ts'],
  listr2: ['src/ui'],
  inquirer: ['src/ui'],
  commander: ['src/cli/program.ts', 'src/cli/verbs'],
  yaml: ['src/profile', 'src/cli/init'],
  zod: ['src/profile'],
  koffi: ['src/stack/attach'],
  uqr: ['src/ui/qr.ts'],
}

const files = (folder) =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))

const faults = []
const folderOf = (file) => file.split('/')[1]
for (const file of files('src')) {
  const text = readFileSync(file, 'utf8')
  const imports = [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map((match) => match[1])
  for (const target of imports) {
    if (!target.startsWith('.')) {
      const name = target.startsWith('@') ? target.split('/').slice(0, 2).join('/') : target.split('/')[0]
      const allowed = places[name]
      if (allowed && !allowed.some((place) => file === place || file.startsWith(`${place}/`)))
        faults.push(`${file} imports ${name}, which belongs in ${allowed.join(' or ')}`)
      continue
    }
    const path = normalize(join(dirname(file), target))
    if (leaves.includes(path) || !path.startsWith('src/')) continue
    const [from, to] = [folderOf(file), folderOf(path)]
    if (from === to || file === 'src/main.ts') continue
    if (shapes.includes(path)) continue
    if (order.indexOf(to) <= order.indexOf(from))
      faults.push(`${file} imports ${path}: ${from} may not know ${to}`)
  }
}
for (const fault of faults) console.error(fault)
console.log(`imports: ${faults.length} faults`)
process.exitCode = faults.length === 0 ? 0 : 1
