import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { commandFailed } from '../engine/action.ts'
import type { Host } from '../host/host.ts'
import type { Profile } from '../profile/profile.ts'
import type { VaultPaths } from '../record/paths.ts'
import { runbook } from './runbook.ts'

/**
 * The recovery kit: one file with everything but the passphrase. Losing this machine and keeping the kit and the
 * passphrase loses nothing. As safe to store as any file that a passphrase protects.
 */

/**
 * Writes <directory>/<vault>-recovery-kit.tar (mode 0600) with profile, keyring, headers, record and runbook.
 * @returns its path
 */
export const writeKit = async (
  local: Host,
  profile: Profile,
  paths: VaultPaths,
  directory: string,
): Promise<string> => {
  const kit = join(directory, `${profile.vault}-recovery-kit.tar`)
  const beside = `${kit}.new`
  const scratch = await mkdtemp(join(paths.state, 'kit-'))
  try {
    await writeFile(join(scratch, 'RUNBOOK.txt'), runbook(profile, '/root/kit'), { mode: 0o600 })
    await run(local, ['install', '-D', '-m', '0600', profile.path, join(scratch, 'profile.yaml')])
    await run(local, ['install', '-d', '-m', '0700', directory])
    await run(local, [
      ...['tar', '--create', '--file', beside, '--owner=root:0', '--group=root:0'],
      ...['--directory', scratch, 'RUNBOOK.txt', 'profile.yaml'],
      ...['--directory', paths.state, 'keys.luks', 'headers', 'record.json'],
    ])
    await run(local, ['chmod', '0600', beside])
    await run(local, ['sync', beside])
    await run(local, ['mv', beside, kit])
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
  return kit
}

const run = async (local: Host, argv: readonly string[]): Promise<void> => {
  const output = await local.run({ argv })
  if (output.code !== 0) throw commandFailed(local.name, argv, output)
}
