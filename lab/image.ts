/**
 * Builds the two images, at most once per content: the client's disk (ext4, for User-Mode Linux) and the servers' root
 * directory. Both come from Debian's own archive through the sources this machine uses.
 */
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { cached } from './cache.ts'
import { exec, LabError } from './exec.ts'
import * as recipe from './recipe.ts'

export interface Images {
  /** ext4 image of the client; every lab writes to a copy-on-write file over it. */
  readonly clientDisk: string
  /** Root directory of a server; every server writes to an overlay over it. */
  readonly serverRoot: string
}

const umlModules = '/usr/lib/uml/modules'

/** This machine's own deb822 sources when it runs the release of the images; else mmdebstrap's defaults. */
const aptSources = (): string[] => {
  const dir = '/etc/apt/sources.list.d'
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : ''
  if (!release.includes(recipe.suite) || !existsSync(dir)) return []
  return readdirSync(dir)
    .filter((name) => name.endsWith('.sources'))
    .map((name) => path.join(dir, name))
    .filter((file) => /^Suites:.*\bbookworm\b/m.test(readFileSync(file, 'utf8')))
    .filter((file) => /^Signed-By:.*debian-archive/m.test(readFileSync(file, 'utf8')))
}

const fingerprint = (kernel: string): string => {
  const data = Object.entries(recipe).sort(([one], [other]) => (one < other ? -1 : 1))
  const shape = JSON.stringify([data, kernel, fetchRepository])
  return createHash('sha256').update(shape).digest('hex').slice(0, 16)
}

const kernelVersion = (): string => {
  const version = existsSync(umlModules) ? readdirSync(umlModules).sort().at(-1) : undefined
  if (version === undefined)
    throw new LabError(`no kernel modules in ${umlModules}: reinstall user-mode-linux`)
  return version
}

const writeFiles = (root: string, files: Readonly<Record<string, recipe.ImageFile>>): void => {
  for (const [name, { text, mode }] of Object.entries(files)) {
    const target = path.join(root, name)
    mkdirSync(path.dirname(target), { recursive: true })
    writeFileSync(target, text)
    chmodSync(target, mode)
  }
}

const bootstrap = async (
  root: string,
  packages: readonly string[],
  hooks: string[],
  logFile: string,
): Promise<void> => {
  const excluded = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/locale/*']
  await exec(
    [
      'mmdebstrap',
      '--quiet',
      '--mode=root',
      '--variant=minbase',
      '--format=directory',
      '--aptopt=APT::Install-Recommends "false"',
      '--aptopt=Acquire::Languages "none"',
      '--aptopt=Acquire::Retries "3"',
      ...excluded.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
      '--dpkgopt=force-unsafe-io',
      `--include=${packages.join(',')}`,
      ...hooks.map((hook) => `--customize-hook=${hook}`),
      recipe.suite,
      root,
      ...aptSources(),
    ],
    { deadlineMs: 20 * 60_000, logFile },
  ).catch((error: unknown) => {
    const log = existsSync(logFile)
      ? readFileSync(logFile, 'utf8').trim().split('\n').slice(-15).join('\n')
      : ''
    throw new LabError(`${(error as Error).message}\n${log}`)
  })
}

const buildClient = async (into: string, kernel: string): Promise<void> => {
  const root = path.join(into, 'client')
  await bootstrap(root, recipe.clientPackages, [recipe.clientHook], path.join(into, 'client.log'))
  writeFiles(root, recipe.clientFiles)
  await exec(['mkdir', '-p', path.join(root, 'lib/modules')])
  await exec(['cp', '-a', path.join(umlModules, kernel), path.join(root, 'lib/modules', kernel)])
  await exec(['depmod', '-b', root, kernel])
  const disk = path.join(into, 'client.img')
  await exec(['mke2fs', '-q', '-F', '-t', 'ext4', '-m', '0', '-d', root, disk, `${recipe.clientMiB}M`], {
    deadlineMs: 300_000,
  })
  rmSync(root, { recursive: true })
}

/** Run by mmdebstrap with APT_CONFIG of the new root, so that "what is missing" is what the new root lacks. */
const fetchRepository = `set -e
mkdir -p "$1/srv/apt/partial"
APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -q -y --download-only -o Dir::Cache::archives="$1/srv/apt/" \\
  install ${recipe.repositoryPackages.join(' ')}
cd "$1/srv/apt"
rm -rf partial lock
apt-ftparchive packages . > Packages
apt-ftparchive release . > Release.new
mv Release.new Release
chmod 755 . && chmod 644 *`

const buildServer = async (into: string): Promise<void> => {
  const root = path.join(into, 'server')
  await bootstrap(
    root,
    recipe.serverPackages,
    [fetchRepository, recipe.serverHook],
    path.join(into, 'server.log'),
  )
  rmSync(path.join(root, 'etc/apt/sources.list.d'), { recursive: true, force: true })
  writeFiles(root, recipe.serverFiles)
}

/** The images, from the cache or built now (about a minute and a half on two cores, and a download of some 150 MB). */
export const images = async (keepOld: boolean, log: (line: string) => void): Promise<Images> => {
  const kernel = kernelVersion()
  const build = async (into: string): Promise<void> => {
    log('building the images of the client and the servers (first time only, about two minutes)')
    const started = Date.now()
    // Both to their end: an aborted mmdebstrap would leave mounts behind.
    const results = await Promise.allSettled([buildClient(into, kernel), buildServer(into)])
    for (const result of results) if (result.status === 'rejected') throw result.reason
    log(`images built in ${Math.round((Date.now() - started) / 1000)} s`)
  }
  const dir = await cached(fingerprint(kernel), build, keepOld, log)
  return { clientDisk: path.join(dir, 'client.img'), serverRoot: path.join(dir, 'server') }
}
