import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import { Exit, Fault } from '../fault.ts'
import type { Secret } from '../host/secret.ts'
import { newRecoveryKey } from './recovery.ts'

/**
 * A recovery kit made opaque, so that it may lie with a provider: AES-256-GCM under a key that is on paper only. The
 * kit's own passphrase still protects what is in it. Text, base64 of: 12 bytes nonce, cipher text, 16 bytes tag. The
 * plain text is its length (4 bytes, big end first), the kit in gzip, and zeros up to a power of two.
 */

const [nonceBytes, tagBytes, lengthBytes] = [12, 16, 4]
const engine = 'aes-256-gcm'
/** Bound to the key and to the text: another version is another key. */
const version = 'cloudvault.escrow/1'
/** Kits of one or two members look alike (a keyring has 4 MiB of random bytes, a header almost 2). */
const leastBytes = 8 * 1024 * 1024
const largestKit = 256 * 1024 * 1024

export interface Sealed {
  readonly text: string
  /** SHA-256 of the text in hex: tells this copy from an older one, which the same server may still have. */
  readonly sha256: string
  /** 48 random digits (159 bits) in eight groups: typed from paper, like a recovery key. The caller wipes it. */
  readonly key: Secret
}

/** Encrypts a kit under a new random key. */
export const seal = (kit: Uint8Array): Sealed => {
  const key = newRecoveryKey()
  const packed = gzipSync(kit)
  let size = leastBytes
  while (size < packed.length + lengthBytes) size *= 2
  const plain = Buffer.alloc(size)
  plain.writeUInt32BE(packed.length)
  packed.copy(plain, lengthBytes)
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv(engine, derive(key), nonce).setAAD(Buffer.from(version))
  const text = Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]).toString(
    'base64',
  )
  return { text, sha256: escrowDigest(text), key }
}

/** @throws Fault 9 when the key does not open it */
export const unseal = (text: string, key: Secret): Buffer => {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length < nonceBytes + lengthBytes + tagBytes) throw wrongKey('it is too short')
  const end = bytes.length - tagBytes
  try {
    const decipher = createDecipheriv(engine, derive(key), bytes.subarray(0, nonceBytes))
      .setAAD(Buffer.from(version))
      .setAuthTag(bytes.subarray(end))
    const plain = Buffer.concat([decipher.update(bytes.subarray(nonceBytes, end)), decipher.final()])
    const packed = plain.subarray(lengthBytes, lengthBytes + plain.readUInt32BE())
    return gunzipSync(packed, { maxOutputLength: largestKit })
  } catch (error) {
    if (error instanceof Fault) throw error
    throw wrongKey((error as Error).message)
  }
}

export const escrowDigest = (text: string): string => createHash('sha256').update(text).digest('hex')

/** From the digits alone: dashes, spaces and line ends are as somebody typed them. */
const derive = (key: Secret): Uint8Array => {
  const digits = key.reveal().filter((byte) => byte >= 0x30 && byte <= 0x39)
  if (digits.length !== 48) throw wrongKey(`it has ${digits.length} digits, not 48`)
  return new Uint8Array(hkdfSync('sha256', digits, '', version, 32))
}

const wrongKey = (detail: string): Fault =>
  new Fault(Exit.secret, 'the key of the escrow sheet does not open the copy', {
    stands: 'nothing was changed',
    next: 'compare the 48 digits with the sheet, then try again',
    detail,
  })
