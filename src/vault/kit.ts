import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { commandFailed } from '../engine/action.ts'
import { linkFiles } from '../keyring/link-keys.ts'
import type { Profile } from '../profile/profile.ts'
import type { VaultPaths } from '../record/paths.ts'
import { type RecordData, updateRecord } from '../record/record.ts'
import type { Vault } from '../stack/vault.ts'
import { runbook } from './runbook.ts'
import type { KitReport } from './status.ts'

/**
 * The recovery kit: one file with everything but the passphrase. Losing this machine and keeping the kit and the
 * passphrase loses nothing. As safe to store as any file that a passphrase protects. What it holds is put back by
 * restore.ts.
 */

/** Names of the things in a kit; `headers` has <member>.luks for each, `links` a folder for each link with keys. */
export const inKit = {
  profile: 'profile.yaml',
  keyring: 'keys.luks',
  headers: 'headers',
  links: 'links',
  record: 'record.json',
  runbook: 'RUNBOOK.txt',
} as const

/**
 * Writes <directory>/<vault>-recovery-kit.tar (mode 0600) with profile, keyring, headers, keys of the links, record
 * and runbook, and notes in the record where it is.
 * @returns its path
 */
export const writeKit = async (vault: Vault, directory: string): Promise<string> => {
  const { paths } = vault
  const kit = join(directory, basename(paths.kit))
  // Not `install -d`, which changes the mode of a directory that is there already: somebody's /tmp, say.
  await run(vault, ['mkdir', '-p', '-m', '0700', directory])
  await packKit(vault, kit)
  const written = { path: kit, at: new Date().toISOString() }
  await updateRecord(paths.record, (record) => ({ ...record, kit: written }))
  return kit
}

/** The kit as one file (mode 0600); nothing is noted. */
export const packKit = async (vault: Vault, kit: string): Promise<void> => {
  const { profile, paths } = vault
  // What a run that was killed left; the vault's lock is ours.
  for (const name of await readdir(paths.state))
    if (/^kit-\w{6}$/.test(name)) await rm(join(paths.state, name), { recursive: true })
  const beside = `${kit}.new`
  const scratch = await mkdtemp(join(paths.state, 'kit-'))
  try {
    await writeFile(join(scratch, inKit.runbook), runbook(profile, '/root/kit'), { mode: 0o600 })
    await run(vault, ['install', '-m', '0600', profile.path, join(scratch, inKit.profile)])
    await run(vault, [
      ...['tar', '--create', '--file', beside, '--owner=root:0', '--group=root:0'],
      ...['--directory', scratch, inKit.runbook, inKit.profile],
      ...['--directory', paths.state, inKit.keyring, inKit.record],
      ...profile.members.map((member) => join(inKit.headers, basename(paths.header(member.name)))),
      ...linkKeysOf(profile, paths).map(({ name }) => name),
    ])
    await run(vault, ['chmod', '0600', beside])
    await run(vault, ['sync', beside])
    await run(vault, ['mv', beside, kit])
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** The keys of the links: what they are called in the kit, and where they are on this machine. */
export const linkKeysOf = (
  profile: Profile,
  paths: VaultPaths,
): readonly { readonly name: string; readonly path: string }[] =>
  profile.members.flatMap((member) =>
    linkFiles(member.link).map((file) => ({
      name: join(inKit.links, member.name, file),
      path: join(paths.linkKeys(member.name), file),
    })),
  )

const run = async ({ local }: Vault, argv: readonly string[]): Promise<void> => {
  const output = await local.run({ argv })
  if (output.code !== 0) throw commandFailed(local.name, argv, output)
}

/**
 * Whether the kit holds what is here now. One that lies elsewhere cannot be looked at: what counts is when it was
 * written, and whether keyring, headers or keys have changed since.
 */
export const kitReport = async (
  profile: Profile,
  paths: VaultPaths,
  record: RecordData | null,
): Promise<KitReport> => {
  if (!record?.kit) return { state: 'missing' }
  const files = [
    paths.keyring,
    ...profile.members.map((member) => paths.header(member.name)),
    ...linkKeysOf(profile, paths).map(({ path }) => path),
  ]
  const facts = await Promise.all(files.map((file) => stat(file).catch(() => null)))
  const written = Date.parse(record.kit.at)
  const outdated = facts.some((file) => file !== null && file.mtimeMs > written)
  return { state: outdated ? 'outdated' : 'current', writtenAt: record.kit.at }
}
