import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Exit, Fault } from '../fault.ts'
import type { Secret } from '../host/secret.ts'
import { escrowDigest, unseal } from '../keyring/escrow.ts'
import { fetchEscrow, refusedCopy } from '../server/escrow.ts'
import { password } from '../ui/ask.ts'
import { parseSheet, type Sheet, type SheetServer } from '../vault/sheet.ts'
import type { World } from './world.ts'

/**
 * From the escrow sheet to the recovery kit: the copy of the first server that has the right one. A copy with another
 * digest was tampered with, or is an old one from before the sheet: it is not even decrypted.
 */

/** A sheet has a dozen lines. */
const largestSheet = 64 * 1024

/**
 * Fetches and decrypts the kit into a private folder.
 * @param file path of the sheet, "-" for stdin
 * @returns the kit's path
 * @throws Fault 2 no sheet, 4 no server answers, 5 another host key, or a copy that is not the sheet's, 9 wrong key
 */
export const kitOfSheet = async (world: World, file: string, folder: string): Promise<string> => {
  const { sheet, key: written } = parseSheet(await readSheet(world, file))
  const text = await rightCopy(world, sheet)
  const key = written ?? (await asked(world, sheet.vault))
  try {
    const kit = join(folder, 'kit.tar')
    await writeFile(kit, unseal(text, key), { mode: 0o600 })
    return kit
  } finally {
    key.wipe()
  }
}

const readSheet = async (world: World, file: string): Promise<string> => {
  if (file === '-') {
    let text = ''
    for await (const piece of world.stdin) if (text.length < largestSheet) text += piece
    return text
  }
  const facts = await stat(file).catch(() => null)
  if (facts?.isFile() && facts.size <= largestSheet) return readFile(file, 'utf8')
  throw new Fault(Exit.usage, `there is no escrow sheet at ${file}`, {
    stands: 'nothing was contacted',
    next: 'type the lines vault, server, sha256 and key of the printed sheet into a file',
  })
}

const asked = (world: World, vault: string): Promise<Secret> =>
  password(world, {
    message: `Key of the escrow sheet of ${vault}:`,
    flag: 'a line "key" in the sheet',
  })

const rightCopy = async (world: World, sheet: Sheet): Promise<string> => {
  const refused: Fault[] = []
  for (const server of sheet.servers) {
    try {
      const text = await copyOf(world, sheet, server)
      for (const fault of refused)
        world.stderr.write(
          `${fault.details.member ?? 'a server'}: ${fault.message}; taken from ${server.ssh} instead\n`,
        )
      return text
    } catch (error) {
      if (!(error instanceof Fault) || error.exit === Exit.interrupted) throw error
      refused.push(error)
    }
  }
  // A lie counts for more than a silence.
  throw (
    refused.find((fault) => fault.exit === Exit.trust) ?? refused[0] ?? new Error('a sheet without servers')
  )
}

const copyOf = async (world: World, sheet: Sheet, server: SheetServer): Promise<string> => {
  const { ssh, hostKey, path } = server
  const remote = await world.connect({ vault: sheet.vault, path: 'the sheet' }, { name: ssh, ssh, hostKey })
  try {
    const text = await fetchEscrow(remote, path)
    if (escrowDigest(text) === sheet.sha256) return text
    throw refusedCopy(ssh, 'the copy of the kit is not the one of this sheet: tampered with, or an old one')
  } finally {
    await remote.close()
  }
}
