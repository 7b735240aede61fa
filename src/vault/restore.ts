import { copyFile, mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Exit, Fault } from '../fault.ts'
import { writeAtomic } from '../host/files.ts'
import type { LocalMachine } from '../host/host.ts'
import { keyringDiffers, luksMetadata } from '../keyring/guard.ts'
import { findProfile } from '../profile/find.ts'
import { loadProfile } from '../profile/load.ts'
import type { Profile } from '../profile/profile.ts'
import { asRecorded } from '../record/job.ts'
import { vaultPaths } from '../record/paths.ts'
import { type RecordData, readRecord } from '../record/record.ts'
import { headerDiffers } from '../stack/luks.ts'
import { inKit, linkKeysOf } from './kit.ts'

/**
 * A recovery kit put back: what is missing here is made from it, what differs is replaced when somebody says so, with
 * the old one kept aside. A record that can be read is never replaced: it knows newer things than the kit's.
 */

type Env = Readonly<Record<string, string | undefined>>

/** A kit, unpacked and looked at. */
export interface Kit {
  readonly profile: Profile
  readonly record: RecordData
  /** Where it was unpacked. */
  readonly folder: string
}

/** One file of the kit, and what is in its place on this machine. */
export interface KitFile {
  /** As in the kit: "headers/fsn.luks". */
  readonly name: string
  readonly path: string
  /** `newer`: it differs and stays, because a kit is older than what a person or a verb has written since. */
  readonly now: 'missing' | 'same' | 'differs' | 'newer'
}

/** No kit is larger: a keyring of 4 MiB and 2 MiB for each header. */
const largestKit = 256 * 1024 * 1024

/**
 * Unpacks a kit into an empty private folder and makes sure that everything in it is there and as cloudvault makes it.
 * @throws Fault 3 no such file, 5 not a whole kit
 */
export const openKit = async (local: LocalMachine, path: string, folder: string): Promise<Kit> => {
  const facts = await stat(path).catch(() => null)
  if (!facts?.isFile() || facts.size > largestKit)
    throw new Fault(Exit.missing, `there is no recovery kit at ${path}`, {
      stands: 'nothing was changed',
      next: 'cloudvault restore-kit PATH   (the .tar that create wrote and you put away)',
    })
  await unpack(local, path, folder, [inKit.profile, inKit.keyring, inKit.record, `${inKit.headers}/*.luks`])
  const { profile: written } = await loadProfile(join(folder, inKit.profile))
  const record = await readRecord(join(folder, inKit.record)).catch(() => null)
  if (record?.vault !== written.vault || record.phase !== 'created')
    throw damaged(path, 'its record is not readable')
  // Of a kit that was written in the middle of a change: whoever took part then has a header in it.
  const profile = asRecorded(written, record, 'taking part')
  const kit = { profile, record, folder }
  const keys = linkKeysOf(profile, vaultPaths(profile.vault, {})).map(({ name }) => name)
  if (keys.length > 0) await unpack(local, path, folder, keys)
  const why = await unsound(local, kit)
  if (why) throw damaged(path, why)
  return kit
}

/** @param names what must be in it; of its other contents nothing is touched */
const unpack = async (
  local: LocalMachine,
  path: string,
  folder: string,
  names: readonly string[],
): Promise<void> => {
  const options = ['--no-same-owner', '--no-same-permissions', '--wildcards']
  const argv = ['tar', '--extract', '--file', path, '--directory', folder, ...options, ...names]
  const output = await local.run({ argv })
  if (output.code !== 0) throw damaged(path, output.stderr)
  // A link, a pipe or a device in the place of a file would be followed, waited for or read without end.
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const odd = entries.find((entry) => !entry.isFile() && !entry.isDirectory())
  if (odd) throw damaged(path, `${odd.name} in it is no file`)
}

const damaged = (path: string, detail: string): Fault =>
  new Fault(Exit.trust, `the recovery kit ${path} is damaged, or is none`, {
    stands: 'nothing was changed',
    next: 'another copy of the kit',
    detail,
  })

const unsound = async (local: LocalMachine, { profile, folder }: Kit): Promise<string | null> => {
  const looks = [
    { name: inKit.keyring, differs: (metadata: unknown) => keyringDiffers(metadata, profile.unlock.kdf) },
    ...profile.members.map((member) => ({ name: headerIn(member.name), differs: headerDiffers })),
  ]
  for (const { name, differs } of looks) {
    const found = await luksMetadata(local, join(folder, name))
    const why = 'why' in found ? found.why : differs(found.metadata)
    if (why) return `${name}: ${why}`
  }
  return null
}

const headerIn = (member: string): string => `${inKit.headers}/${member}.luks`

/**
 * What of the kit is here already. Only looks.
 * @throws Fault 7 when this machine has another vault of the same name
 */
export const compareKit = async (kit: Kit, env: Env): Promise<KitFile[]> => {
  const { profile, record } = kit
  const paths = vaultPaths(profile.vault, env)
  const known = await readRecord(paths.record).catch(() => 'damaged' as const)
  if (known !== null && known !== 'damaged' && known.fsid !== record.fsid)
    throw new Fault(Exit.decide, `this machine has another vault called ${profile.vault}`, {
      stands: 'nothing was changed',
      next: `mv ${paths.state} ${paths.state}.old   (keeps the files of that one), then the same command again`,
    })
  const compared = (name: string, path: string): Promise<KitFile> => compareFile(kit, name, path)
  const [profileFile, recordFile, ...rest] = await Promise.all([
    compared(inKit.profile, await profilePath(profile.vault, env)),
    compared(inKit.record, paths.record),
    compared(inKit.keyring, paths.keyring),
    ...profile.members.map(({ name }) => compared(headerIn(name), paths.header(name))),
    ...linkKeysOf(profile, paths).map(({ name, path }) => compared(name, path)),
  ])
  return [newer(profileFile), known === 'damaged' ? recordFile : newer(recordFile), ...rest]
}

const newer = (file: KitFile): KitFile => (file.now === 'differs' ? { ...file, now: 'newer' } : file)

/** Where this vault's profile is, or belongs. */
const profilePath = async (vault: string, env: Env): Promise<string> =>
  (await findProfile(vault, env).catch(() => null))?.path ?? `/etc/cloudvault/${vault}.yaml`

const compareFile = async (kit: Kit, name: string, path: string): Promise<KitFile> => {
  const here = await readFile(path).catch((error: NodeJS.ErrnoException) =>
    error.code === 'ENOENT' ? null : Promise.reject(error),
  )
  if (here === null) return { name, path, now: 'missing' }
  const same = here.equals(await readFile(join(kit.folder, name)))
  return { name, path, now: same ? 'same' : 'differs' }
}

/** Whether this file is going to be written. */
export const isPutBack = (file: KitFile): boolean => file.now === 'missing' || file.now === 'differs'

/**
 * Writes what is missing or differs; of what differs a copy is kept.
 * @returns the folder with the copies, or null when there was nothing to keep
 */
export const putBack = async (kit: Kit, files: readonly KitFile[], state: string): Promise<string | null> => {
  const kept = join(state, `replaced-${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}`)
  const replaced = files.filter((file) => file.now === 'differs')
  if (replaced.length > 0) await mkdir(kept, { recursive: true, mode: 0o700 })
  for (const { name, path } of replaced) await copyFile(path, join(kept, keptName(name, path)))
  for (const { name, path } of files.filter(isPutBack))
    await writeAtomic(path, await readFile(join(kit.folder, name)))
  return replaced.length > 0 ? kept : null
}

/** Keys of links have the same name for every member. */
const keptName = (name: string, path: string): string =>
  name.startsWith(`${inKit.links}/`) ? name.replaceAll('/', '-') : basename(path)
