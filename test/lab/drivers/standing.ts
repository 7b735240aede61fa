import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RemoteHost } from '../../../src/host/ssh.ts'
import { showSession } from '../../../src/server/session.ts'

/** What of a vault stands in the lab's client and on its servers, read without starting a program here. */

const folder = (path: string): string[] => (existsSync(path) ? readdirSync(path) : [])
/** What is not there is empty, also when it went (a process that ended) between two looks. */
const text = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return ''
    throw error
  }
}

/** In a fixed order; '' when nothing does. */
export const standing = async (vault: string, servers: Iterable<RemoteHost>): Promise<string> =>
  [
    ...folder('/sys/block').filter((name) => text(`/sys/block/${name}/backend`).startsWith(`cv-${vault}-`)),
    ...folder('/dev/mapper').filter((name) => name.startsWith(`cv-${vault}-`)),
    ...mounts(vault),
    ...processes(vault),
    ...folder(`/run/cloudvault/${vault}`).filter((name) => /\.(pid|sock)$/.test(name)),
    ...claimed(vault),
    ...(await Promise.all([...servers].map((server) => held(vault, server)))).flat(),
  ]
    .sort((a, b) => a.localeCompare(b))
    .join('; ')

export const mounts = (vault: string): string[] =>
  text('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => line.includes(` /vault/${vault} `))

/** Pumps, parking servers and monitors of this vault. */
const processes = (vault: string): string[] =>
  folder('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => text(`/proc/${pid}/cmdline`).replaceAll('\0', ' '))
    .filter((line) => /^(ssh -N|nbdkit)|cloudvault\.js monitor/.test(line) && line.includes(vault))

/** Steps that the receipt says are ours. */
const claimed = (vault: string): string[] => {
  const receipt = text(`/var/lib/cloudvault/${vault}/receipt.json`)
  if (receipt === '') return []
  const { steps } = JSON.parse(receipt) as { steps: { name: string; state: string }[] }
  return steps.filter(({ state }) => state !== 'found').map(({ name, state }) => `receipt: ${name} ${state}`)
}

const held = async (vault: string, server: RemoteHost): Promise<string[]> =>
  (await showSession(server, vault, server.name)).held ? [`session on ${server.name}`] : []

/** Puts a few hundred small and large files into the mounted vault. */
export const fill = (vault: string): void => {
  for (let file = 0; file < 40; file++) {
    const bytes = createHash('sha256').update(`${file}`).digest()
    writeFileSync(
      `/vault/${vault}/file-${file}`,
      Buffer.alloc(997 * (file + 1) * (file % 7 === 0 ? 20 : 1), bytes),
    )
  }
}

/** One SHA-256 over every file of the mounted vault, read from the servers and not from memory. */
export const hashOf = (vault: string): string => {
  writeFileSync('/proc/sys/vm/drop_caches', '3')
  const hash = createHash('sha256')
  for (const name of readdirSync(`/vault/${vault}`).sort()) {
    hash.update(`${name}\0`).update(readFileSync(join(`/vault/${vault}`, name)))
  }
  return hash.digest('hex')
}
