import { readFile } from 'node:fs/promises'
import { Exit, Fault } from '../../fault.ts'
import type { ResolvedSsh } from './resolve.ts'

/** Ways to log in, in the shape ssh2 takes them. */
export type LoginMethod =
  | { readonly type: 'agent'; readonly username: string; readonly agent: string }
  | { readonly type: 'publickey'; readonly username: string; readonly key: Buffer }

/**
 * The agent first, then unencrypted key files; the files first when the configuration says IdentitiesOnly, for an
 * agent full of other keys would use up the server's patience (MaxAuthTries).
 *
 * @param readable whether these bytes are a private key that opens without a passphrase
 * @throws Fault 3 when the only key there is needs a passphrase and no agent holds it
 */
export const loginMethods = async (
  resolved: ResolvedSsh,
  member: string,
  readable: (bytes: Buffer) => boolean,
): Promise<LoginMethod[]> => {
  const username = resolved.user
  const agent: LoginMethod[] = resolved.identityAgent
    ? [{ type: 'agent', username, agent: resolved.identityAgent }]
    : []
  const files: LoginMethod[] = []
  const locked: string[] = []
  for (const path of resolved.identityFiles) {
    const bytes = await keyBytes(path)
    if (bytes === null) continue
    if (readable(bytes)) files.push({ type: 'publickey', username, key: bytes })
    else locked.push(path)
  }
  const methods = resolved.identitiesOnly ? [...files, ...agent] : [...agent, ...files]
  if (methods.length === 0 && locked.length > 0) {
    throw new Fault(
      Exit.missing,
      `the key ${locked.join(', ')} needs a passphrase, and no SSH agent is there`,
      {
        member,
        next: `eval "$(ssh-agent)" && ssh-add ${locked[0]}   (under sudo: sudo --preserve-env=SSH_AUTH_SOCK …)`,
      },
    )
  }
  return methods
}

/** Null when there is no such file or it is not ours to read: OpenSSH passes over both as well. */
const keyBytes = async (path: string): Promise<Buffer | null> => {
  try {
    return await readFile(path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code && ['ENOENT', 'ENOTDIR', 'EACCES', 'EISDIR'].includes(code)) return null
    throw error
  }
}
