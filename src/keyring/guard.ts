import type { Host } from '../host/host.ts'
import type { Kdf } from '../profile/profile.ts'
import { json, object } from '../record/validate.ts'

/**
 * LUKS2 metadata is read and compared before any key is derived from it: a planted header may ask for no encryption
 * at all, for a re-encryption to be finished, or for more memory than there is.
 */

/** What every header and keyring of ours is encrypted with, slots included. */
export const cipher = 'aes-xts-plain64'

/** The metadata of a header file, by cryptsetup, which derives nothing for that; or why there is none. */
export const luksMetadata = async (
  local: Host,
  path: string,
): Promise<{ readonly metadata: unknown } | { readonly why: string; readonly detail: string }> => {
  const output = await local.run({ argv: ['cryptsetup', 'luksDump', '--dump-json-metadata', path] })
  if (output.code === 0) return { metadata: json(output.stdout) }
  return { why: `cryptsetup cannot read it (exit ${output.code})`, detail: output.stderr }
}

/** What one derivation may cost. */
export interface Costs {
  /** Iterations of PBKDF2, of slots and of the digest that tells a right key from a wrong one. */
  readonly iterations: number
  /** Memory of Argon2 in KiB; 0: Argon2 is not expected. */
  readonly memoryKiB: number
}

/** In words what in the key slots is not as cloudvault makes it, or asks for too much; null when nothing is. */
export const slotsDiffer = (metadata: Record<string, unknown>, costs: Costs): string | null => {
  const { keyslots, digests, config } = metadata
  if (object(config) && config.requirements !== undefined) return 'it asks for a re-encryption to be finished'
  if (!object(keyslots) || Object.keys(keyslots).length === 0) return 'it has no key slot'
  for (const [slot, value] of Object.entries(keyslots)) {
    if (!object(value) || value.type !== 'luks2') return `key slot ${slot} is of an unknown type`
    const area = value.area
    if (!object(area) || area.encryption !== cipher) return `key slot ${slot} is not encrypted with ${cipher}`
    const dear = object(value.kdf) ? tooDear(value.kdf, costs) : 'names no key derivation'
    if (dear) return `key slot ${slot} ${dear}`
  }
  for (const digest of object(digests) ? Object.values(digests) : []) {
    const dear = object(digest) ? tooDear(digest, { ...costs, memoryKiB: 0 }) : 'is not readable'
    if (dear) return `its digest ${dear}`
  }
  return null
}

const tooDear = (kdf: Record<string, unknown>, costs: Costs): string | null => {
  const { type, iterations, memory } = kdf
  if (type === 'pbkdf2')
    return Number(iterations) <= costs.iterations ? null : `asks for ${iterations} iterations`
  if (costs.memoryKiB === 0 || (type !== 'argon2id' && type !== 'argon2i'))
    return `asks for another key derivation (${type}) than pbkdf2 at low cost`
  return Number(memory) <= costs.memoryKiB
    ? null
    : `asks for ${Math.round(Number(memory) / 1024)} MiB of memory`
}

/** What cryptsetup chooses by itself on the largest machines; a profile may ask for more. */
const usual: Costs = { iterations: 50_000_000, memoryKiB: 1024 * 1024 }

/** In words why a keyring is refused; null when it is one of ours as far as can be seen without the passphrase. */
export const keyringDiffers = (metadata: unknown, kdf: Kdf | undefined): string | null => {
  if (!object(metadata)) return 'its metadata is not readable'
  return slotsDiffer(metadata, {
    iterations: Math.max(usual.iterations, kdf?.algorithm === 'pbkdf2' ? kdf.iterations : 0),
    memoryKiB: Math.max(
      usual.memoryKiB,
      kdf?.algorithm === 'argon2id' ? Math.ceil((kdf.memoryBytes ?? 0) / 1024) : 0,
    ),
  })
}
