/**
 * What the lab needs from this machine: root, Linux, and a handful of Debian packages. What is missing is said in one
 * line, and installed by apt-get when that is possible.
 */
import { accessSync, constants, existsSync } from 'node:fs'
import path from 'node:path'
import { exec, LabError } from './exec.ts'
import { needsShim } from './kernel.ts'

/** Program the lab calls → Debian package that brings it. */
const programs: Readonly<Record<string, string>> = {
  'linux.uml': 'user-mode-linux',
  mmdebstrap: 'mmdebstrap',
  'systemd-nspawn': 'systemd-container',
  ip: 'iproute2',
  ethtool: 'ethtool',
  mke2fs: 'e2fsprogs',
  depmod: 'kmod',
  'apt-ftparchive': 'apt-utils',
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  nsenter: 'util-linux',
  bash: 'bash',
}

/** Debian's archive key; mmdebstrap cannot verify anything without it. */
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'

const searchPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

const installed = (program: string): boolean =>
  searchPath.some((dir) => {
    try {
      accessSync(path.join(dir, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

/** Debian packages whose programs are not here. */
const missingPackages = (): string[] => {
  const packages = Object.entries(programs)
    .filter(([program]) => !installed(program))
    .map(([, name]) => name)
  if (!existsSync(keyring)) packages.push('debian-archive-keyring')
  if (process.platform === 'linux' && needsShim() && !installed('cc')) packages.push('gcc', 'libc6-dev')
  return [...new Set(packages)]
}

const machineFaults = (): string[] => {
  const faults: string[] = []
  if (process.platform !== 'linux') faults.push('Linux (the lab boots kernels and namespaces)')
  if (process.arch !== 'x64') faults.push('an x86-64 processor (User-Mode Linux runs on nothing else)')
  if (process.platform === 'linux' && process.getuid?.() !== 0) faults.push('root (namespaces and mounts)')
  return faults
}

/** What keeps the lab from running here, one entry each, in words; empty when it can run. */
export const missing = (): string[] => [
  ...machineFaults(),
  ...missingPackages().map((name) => `the package ${name} (apt-get install ${name})`),
]

/**
 * Installs the packages that are missing.
 * @throws LabError with everything that is needed, in one line, when this machine cannot run the lab.
 */
export const prepareMachine = async (log: (line: string) => void): Promise<void> => {
  const faults = machineFaults()
  if (faults.length > 0) throw new LabError(`the lab needs ${missing().join(', ')}`)
  const packages = missingPackages()
  if (packages.length === 0) return
  if (!installed('apt-get'))
    throw new LabError(`the lab needs ${packages.join(', ')}, and apt-get is not here`)
  log(`installing ${packages.join(', ')}`)
  const apt = ['apt-get', '-q', '-y', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3']
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  const update = await exec([...apt, 'update'], { deadlineMs: 600_000, env })
  const install = [...apt, 'install', '--no-install-recommends', ...packages]
  await exec(install, { deadlineMs: 900_000, env }).catch((error: unknown) => {
    // `update` succeeds without having reached any archive, and only warns: that is the cause then.
    throw new LabError(`${(error as Error).message}\n${update.stderr.trim()}`.trim())
  })
  const still = missing()
  if (still.length > 0) throw new LabError(`the lab needs ${still.join(', ')}`)
}
