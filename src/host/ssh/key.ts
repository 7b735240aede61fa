import { createHash } from 'node:crypto'

/**
 * Host keys: how they are named, compared and written down. A pin is the SHA-256 of the raw key as OpenSSH prints
 * it ("SHA256:…", unpadded base64), so that a person can compare it with what the provider's console shows.
 */

export interface HostKey {
  /** "ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa", …: read from the key itself. */
  readonly type: string
  /** The raw key, as it stands in known_hosts. */
  readonly base64: string
  /** "SHA256:…", unpadded. */
  readonly fingerprint: string
}

/** The way a pin looks in a profile. */
export const fingerprintPattern = /^SHA256:[A-Za-z0-9+/]{43}$/

/** "SHA256:…" of a raw host key, as `ssh-keygen -lf` prints it. */
export const fingerprintOf = (blob: Uint8Array): string =>
  `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`

/** A raw host key as a value. The type is the key's own first field; null when the bytes are no key at all. */
export const hostKeyOf = (blob: Uint8Array): HostKey | null => {
  const bytes = Buffer.from(blob)
  if (bytes.length < 8) return null
  const length = bytes.readUInt32BE(0)
  if (length < 4 || length > 64 || bytes.length < 4 + length) return null
  const type = bytes.toString('latin1', 4, 4 + length)
  if (!/^[a-z0-9@.-]+$/.test(type)) return null
  return { type, base64: bytes.toString('base64'), fingerprint: fingerprintOf(bytes) }
}

/** Signature algorithms by which a key of this type may prove itself; an RSA key never by SHA-1. */
export const algorithmsOf = (type: string): readonly string[] =>
  type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type]

/** The order in which host key types are asked for. Ours and OpenSSH's must agree, or a pin would seem to differ. */
export const preferredTypes = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
] as const

/** One line of a known_hosts file. @param alias what HostKeyAlias says, instead of a host name that may change */
export const knownHostsLine = (alias: string, key: Pick<HostKey, 'type' | 'base64'>): string =>
  `${alias} ${key.type} ${key.base64}\n`
