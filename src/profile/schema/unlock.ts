import * as z from 'zod'
import { localFile } from '../rules/path.ts'
import { parseSize, sizePattern } from '../units.ts'
import { matching, quantity, text } from './field.ts'

/**
 * The `unlock` block: where the passphrase comes from (never the passphrase itself) and what a guess of it costs.
 */

const kdfMemory = quantity((value) => {
  const parsed = parseSize(value)
  if ('fault' in parsed) return parsed
  const inRange = parsed.value >= 32 * 1024 && parsed.value <= 4 * 1024 ** 3
  if (!inRange) return { fault: 'must be 32KiB to 4GiB (limits of cryptsetup)' }
  return parsed.value % 1024 === 0 ? parsed : { fault: 'must be a multiple of 1KiB' }
})

export const kdf = z
  .discriminatedUnion('algorithm', [
    z.strictObject({
      algorithm: z.literal('argon2id'),
      memory: text(kdfMemory, {
        description: 'Memory that one guess costs: 32KiB to 4GiB.',
        examples: ['1GiB'],
        pattern: sizePattern,
      }).optional(),
      iterations: z
        .int()
        .min(4)
        .max(4_294_967_295)
        .optional()
        .meta({ description: 'Passes over that memory: 4 or more.', examples: [4] }),
      threads: z
        .int()
        .min(1)
        .max(4)
        .optional()
        .meta({ description: 'CPUs one guess uses: 1 to 4.', examples: [4] }),
    }),
    z.strictObject({
      algorithm: z.literal('pbkdf2'),
      iterations: z
        .int()
        .min(1000)
        .max(4_294_967_295)
        .meta({ description: 'Rounds of SHA-256: 1000 or more.', examples: [600_000] }),
    }),
  ])
  .meta({
    description: 'What one guess of the passphrase costs: algorithm argon2id or pbkdf2, and its parameters.',
    examples: [{ algorithm: 'argon2id', memory: '1GiB', iterations: 4, threads: 4 }],
  })

export const passphrase = z
  .strictObject({
    prompt: z
      .literal(true)
      .optional()
      .meta({ description: 'Asked for on the terminal: true.', examples: [true] }),
    file: text(localFile, {
      description: 'Absolute path of a file that only its owner can read (mode 0600).',
      examples: ['/root/photos.pass'],
    }).optional(),
    command: z
      .array(
        text((value) => (value.includes('\0') ? 'has a NUL character' : null), {
          description: 'A word of the command.',
          examples: ['pass'],
        }),
      )
      .min(1)
      .max(64)
      .optional()
      .meta({
        description:
          'Program and its arguments as a list; no shell. It prints the passphrase; one trailing newline is cut.',
        examples: [['pass', 'show', 'vaults/photos']],
      }),
    credential: text(
      matching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'is not a credential name (letters, digits, . _ -)'),
      {
        description: 'Name of a systemd credential, when cloudvault runs as a unit.',
        examples: ['cloudvault.photos'],
      },
    ).optional(),
  })
  .meta({
    description: 'Where the passphrase comes from: exactly one of prompt, file, command, credential.',
    examples: [{ prompt: true }],
    minProperties: 1,
    maxProperties: 1,
  })
