import { randomInt } from 'node:crypto'
import { Secret } from '../host/secret.ts'

/**
 * The recovery key: 48 random decimal digits (159 bits) in eight groups. Digits survive every keyboard layout, a
 * telephone and bad handwriting. With the dashes it is an ordinary passphrase of the keyring.
 */

const [groups, digits] = [8, 6]

export const newRecoveryKey = (): Secret => {
  const words = Array.from({ length: groups }, () => `${randomInt(10 ** digits)}`.padStart(digits, '0'))
  return new Secret(Buffer.from(words.join('-')))
}
