import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import type { RemoteHost } from '../host/ssh.ts'
import { type Sealed, seal } from '../keyring/escrow.ts'
import { updateRecord } from '../record/record.ts'
import { dropOlderEscrows, escrowPath, putEscrow } from '../server/escrow.ts'
import { checkHome } from '../stack/home.ts'
import { jsonLine } from '../ui/json.ts'
import { packKit } from '../vault/kit.ts'
import { type SheetServer, sheetText } from '../vault/sheet.ts'
import { Context, requireRoot } from './context.ts'
import { kitRoom } from './kit.ts'
import type { World } from './world.ts'

/**
 * `cloudvault escrow`: an opaque copy of the recovery kit on every server, and the sheet that opens it. A provider sees
 * random bytes whose number is a power of two; whoever has the sheet still needs the passphrase.
 */

export interface EscrowOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
}

/** @throws Fault 3 nothing created here, 4 a server is away, 5 a file at home was changed or a host key differs */
export const escrowVerb = async (world: World, name: string, options: EscrowOptions): Promise<ExitCode> => {
  requireRoot(world, 'escrow', name)
  const context = await Context.open(world, name, { change: true, room: kitRoom })
  try {
    const { vault } = context.profile
    if (context.record?.phase !== 'created')
      throw new Fault(Exit.missing, `this machine has no finished record of ${vault}`, {
        next: `cloudvault status ${vault}`,
      })
    await checkHome(context.vault)
    await context.connectAll()
    refuseIncomplete(context)
    if (options.dryRun) tellDry(world, context, options)
    else await escrow(world, context, options)
    return Exit.ok
  } finally {
    await context.close()
  }
}

const refuseIncomplete = ({ unreachable, profile }: Context): void => {
  const [first] = unreachable
  if (first === undefined) return
  throw new Fault(
    Exit.unreachable,
    `${[...unreachable.keys()].join(', ')} cannot be reached; the copy belongs on every server`,
    {
      stands: 'nothing was changed; an older sheet still counts',
      next: `cloudvault escrow ${profile.vault}   (when all servers answer)`,
      detail: first[1].message,
    },
  )
}

const escrow = async (world: World, context: Context, options: EscrowOptions): Promise<void> => {
  const sealed = await sealKit(context)
  try {
    const servers = await handOut(context, sealed)
    const { vault } = context.profile
    const at = new Date()
    await updateRecord(context.paths.record, (record) => ({ ...record, escrow: { at: at.toISOString() } }))
    const { sha256, key } = sealed
    const shown = { schema, vault, servers, sha256 }
    // The one time that the key is shown, in either form.
    if (options.json) world.stdout.write(jsonLine({ ...shown, key: Buffer.from(key.reveal()).toString() }))
    else world.stdout.write(sheetText({ vault, servers, sha256 }, key, at))
    if (!options.json) world.stderr.write('print this sheet now: it is shown this once\n')
  } finally {
    sealed.key.wipe()
  }
}

const schema = 'cloudvault.escrow/1'

const sealKit = async ({ vault, paths }: Context): Promise<Sealed> => {
  const kit = join(paths.state, 'escrow.tar')
  try {
    await packKit(vault, kit)
    return seal(await readFile(kit))
  } finally {
    await rm(kit, { force: true })
  }
}

/** To all of them first; only then is what an older sheet opens taken away. */
const handOut = async (context: Context, { text, sha256 }: Sealed): Promise<SheetServer[]> => {
  const { profile, vault } = context
  const places = profile.members.map(({ name }) => ({
    name,
    host: vault.server(name),
    path: escrowPath(profile.vault, name, sha256),
  }))
  await Promise.all(places.map(({ host, path }) => putEscrow(host, path, text)))
  await Promise.all(places.map(({ host, path }) => dropOlderEscrows(host, path)))
  return places.map(({ name, path }) => {
    const remote = vault.remote(name)
    if (!remote) throw new Error(`no connection to ${name}`)
    return { ssh: address(remote), hostKey: remote.hostKey.fingerprint, path }
  })
}

/** As it is reached from here: an alias means nothing on a new machine. */
const address = ({ resolved: { user, host, port } }: RemoteHost): string =>
  `${user}@${host.includes(':') ? `[${host}]` : host}:${port}`

const tellDry = (world: World, { profile }: Context, options: EscrowOptions): void => {
  const { vault } = profile
  const members = profile.members.map(({ name }) => name)
  if (options.json) {
    world.stdout.write(jsonLine({ schema, dryRun: true, vault, members }))
    return
  }
  const lines = members.map((name) => `${name}: would put ${escrowPath(vault, name, '(digest)')}`)
  world.stdout.write(`${lines.join('\n')}\nnothing was changed (dry run)\n`)
}
