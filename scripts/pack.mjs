// Packs the project as it would be published, installs the tarball in an empty folder and runs it there.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const must = (program, args, options = {}) => {
  const ended = spawnSync(program, args, { encoding: 'utf8', timeout: 300_000, ...options })
  if (ended.status === 0) return ended.stdout
  console.error(`${program} ${args.join(' ')}\n${ended.stdout}${ended.stderr}`)
  process.exit(1)
}

const folder = mkdtempSync(join(tmpdir(), 'cloudvault-pack-'))
try {
  const [packed] = JSON.parse(must('npm', ['pack', '--json', '--pack-destination', folder]))
  must('npm', [
    'install',
    '--prefix',
    folder,
    '--no-audit',
    '--no-fund',
    '--ignore-scripts',
    join(folder, packed.filename),
  ])
  const program = join(folder, 'node_modules/.bin/cloudvault')
  const version = must(program, ['--version'], { cwd: folder }).trim()
  const wanted = JSON.parse(readFileSync('package.json', 'utf8')).version
  if (version !== wanted) throw new Error(`the installed program says ${version}, package.json ${wanted}`)
  const profile = join(folder, 'node_modules/cloudvault/profiles/two-servers.yaml')
  must(program, ['check', profile], { cwd: folder })
  console.log(
    `pack: ${packed.files.length} files, ${Math.round(packed.size / 1024)} KiB; --version and check run from the tarball`,
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}
