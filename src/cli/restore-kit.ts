import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { requireRoom } from '../host/files.ts'
import { requirePrivate } from '../host/private.ts'
import { type VaultPaths, vaultPaths } from '../record/paths.ts'
import { noteKeyring } from '../stack/keyring-age.ts'
import { jsonLine } from '../ui/json.ts'
import { compareKit, isPutBack, type Kit, type KitFile, openKit, putBack } from '../vault/restore.ts'
import { consent } from './consent.ts'
import { requireRoot } from './context.ts'
import { kitOfSheet } from './escrow-fetch.ts'
import type { World } from './world.ts'

/**
 * `cloudvault restore-kit`: from the recovery kit to a machine on which `up` works, whether files were damaged or the
 * whole machine is a new one.
 */

export interface RestoreOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
  /** The escrow sheet of a kit that lies with the servers, or "-" for stdin. */
  readonly sheet?: string
  /** Names of files as in the kit; all when empty. */
  readonly only?: readonly string[]
  /** The vault's name, typed: consent to replace what differs. */
  readonly confirm?: string
}

/** A keyring and a few headers, and copies of the replaced ones. */
const restoreRoom = 32 * 1024 * 1024

/** @throws Fault 2 not confirmed, 3 no kit or no room, 4 no server of the sheet answers, 5 a damaged kit, 6 busy, 7 another vault of this name is here */
export const restoreKitVerb = async (
  world: World,
  file: string | undefined,
  options: RestoreOptions,
): Promise<ExitCode> => {
  requireRoot(world, 'restore-kit', file ?? `--sheet ${options.sheet ?? 'FILE'}`)
  if ((file === undefined) === (options.sheet === undefined)) throw whichKit()
  const folder = await mkdtemp(join(tmpdir(), 'cloudvault-kit-'))
  try {
    const escrowed = options.sheet === undefined ? null : await kitOfSheet(world, options.sheet, folder)
    const kit = await openKit(world.local, escrowed ?? resolve(file ?? ''), folder)
    const paths = vaultPaths(kit.profile.vault, world.env)
    if (options.dryRun) {
      tell(world, kit, await chosen(world, kit, options), null, options)
      return Exit.ok
    }
    await requirePrivate('the state directory', paths.state, world.uid)
    const lock = await world.local.lock(paths.lock, kit.profile.vault)
    try {
      await restore(world, kit, paths, options)
    } finally {
      await lock.release()
    }
    return Exit.ok
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const whichKit = (): Fault =>
  new Fault(Exit.usage, 'restore-kit takes one kit: a file, or the sheet of one that lies with the servers', {
    stands: 'nothing was changed',
    next: 'cloudvault restore-kit FILE   or   cloudvault restore-kit --sheet FILE',
  })

const restore = async (world: World, kit: Kit, paths: VaultPaths, options: RestoreOptions): Promise<void> => {
  const files = await chosen(world, kit, options)
  const differing = files.filter((file) => file.now === 'differs').map((file) => file.path)
  const consequence = `${differing.join(' and ')} will be replaced; the old ones are kept.`
  if (differing.length > 0) await consent(world, kit.profile.vault, options.confirm, consequence)
  if (files.some(isPutBack)) await requireRoom(paths.state, restoreRoom)
  const kept = await putBack(kit, files, paths.state)
  // An older keyring was put back on purpose: somebody has just said so, or there was none.
  if (files.some((one) => one.path === paths.keyring && isPutBack(one))) await noteKeyring(paths)
  tell(world, kit, files, kept, options)
}

/** @throws Fault 2 when the kit has no such file */
const chosen = async (world: World, kit: Kit, { only = [] }: RestoreOptions): Promise<readonly KitFile[]> => {
  const files = await compareKit(kit, world.env)
  const unknown = only.find((name) => !files.some((file) => file.name === name))
  if (unknown !== undefined)
    throw new Fault(
      Exit.usage,
      `the kit has no ${unknown}; it has ${files.map((file) => file.name).join(', ')}`,
      {
        stands: 'nothing was changed',
      },
    )
  return only.length === 0 ? files : files.filter((file) => only.includes(file.name))
}

const results = { missing: 'restored', differs: 'replaced', same: 'same', newer: 'kept' } as const

const tell = (
  world: World,
  kit: Kit,
  files: readonly KitFile[],
  kept: string | null,
  { json, dryRun }: RestoreOptions,
): void => {
  const { vault } = kit.profile
  const shown = files.map(({ name, path, now }) => ({ file: name, path, result: results[now] }))
  if (json) {
    const dry = dryRun ? { dryRun: true } : {}
    world.stdout.write(
      jsonLine({
        schema: 'cloudvault.restore-kit/1',
        ...dry,
        vault,
        files: shown,
        ...(kept ? { kept } : {}),
      }),
    )
    return
  }
  const words = {
    restored: dryRun ? 'would be restored' : 'restored',
    replaced: dryRun ? 'would be replaced' : 'replaced',
    same: 'is the same already',
    kept: 'stays: this machine has a newer one',
  }
  for (const { path, result } of shown) world.stdout.write(`${path}: ${words[result]}\n`)
  if (kept) world.stdout.write(`what was replaced is kept in ${kept}\n`)
  world.stdout.write(dryRun ? 'nothing was changed (dry run)\n' : `next: cloudvault up ${vault}\n`)
}
