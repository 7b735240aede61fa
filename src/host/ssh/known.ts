import type { Host } from '../host.ts'
import { type HostKey, hostKeyOf } from './key.ts'
import { asUser, lookupMs, type ResolvedSsh } from './resolve.ts'

/** What the user's known_hosts files say about one server. */
export interface KnownKeys {
  readonly trusted: readonly HostKey[]
  /** Fingerprints marked @revoked: never accepted, not even by a pin. */
  readonly revoked: readonly string[]
}

/**
 * Looks a server up in the user's known_hosts with `ssh-keygen -F`, which also reads hashed names. A file that is
 * missing or cannot be read trusts nothing.
 */
export const knownKeys = async (local: Host, resolved: ResolvedSsh): Promise<KnownKeys> => {
  const name =
    resolved.hostKeyAlias ?? (resolved.port === 22 ? resolved.host : `[${resolved.host}]:${resolved.port}`)
  const found: { key: HostKey; revoked: boolean }[] = []
  for (const file of resolved.knownHostsFiles) {
    const argv = [...asUser(resolved.configUser), 'ssh-keygen', '-F', name, '-f', file]
    const output = await local.run({ argv, root: false, deadline: lookupMs })
    if (output.code === 0) found.push(...readLines(output.stdout))
  }
  return {
    trusted: found.filter((entry) => !entry.revoked).map((entry) => entry.key),
    revoked: found.filter((entry) => entry.revoked).map((entry) => entry.key.fingerprint),
  }
}

/** "[@marker] names type base64 [comment]"; certificate authorities are not host keys and are passed over. */
const readLines = (text: string): { key: HostKey; revoked: boolean }[] =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith('@cert-authority'))
    .flatMap((line) => {
      const words = line.trim().split(/\s+/)
      const revoked = words[0] === '@revoked'
      const key = hostKeyOf(Buffer.from(words[revoked ? 3 : 2] ?? '', 'base64'))
      return key ? [{ key, revoked }] : []
    })
