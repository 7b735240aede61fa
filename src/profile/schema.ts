import * as z from 'zod'
import { vaultPattern } from '../names.ts'
import { userName, userPattern } from './rules/destination.ts'
import { mountPoint } from './rules/path.ts'
import { matching, text } from './schema/field.ts'
import { member, memberExample } from './schema/member.ts'
import { kdf, passphrase } from './schema/unlock.ts'

/**
 * The shape of a profile as people write it, in the manual's words: the only source of what is allowed, of the
 * texts in errors and of the published JSON Schema. Closed everywhere: an unknown key is an error. What concerns
 * several keys at once stands in cross.ts.
 */

const compress = /^(off|lzo|zstd(:([1-9]|1[0-5]))?)$/

export const profileSchema = z
  .strictObject({
    version: z.literal(1).meta({ description: 'Version of this format: 1.', examples: [1] }),
    vault: text(matching(vaultPattern, 'a vault is 1 to 24 of a-z, 0-9 and -, starting with a letter'), {
      description: 'Name of the vault: 1 to 24 of a-z, 0-9 and -, starting with a letter.',
      examples: ['photos'],
      pattern: vaultPattern.source,
    }),
    mount: z
      .strictObject({
        at: text(mountPoint, {
          description: 'Absolute path of a directory of its own; made if missing, must be empty.',
          examples: ['/vault/photos'],
        }),
        owner: text(userName, {
          description: 'User that the top directory is given to, once, at create.',
          examples: ['anna'],
          pattern: userPattern.source,
        }).optional(),
      })
      .meta({ description: 'Where the vault appears on this machine.', examples: [{ at: '/vault/photos' }] }),
    filesystem: z
      .strictObject({
        mirror: z
          .enum(['single', 'raid1', 'raid1c3', 'raid1c4', 'raid10'])
          .optional()
          .meta({
            description:
              'Copies of data and metadata alike: raid1, raid1c3, raid1c4, raid10 or single. Default: raid1, single with one member.',
            examples: ['raid1'],
          }),
        checksum: z
          .enum(['blake2', 'sha256', 'xxhash', 'crc32c'])
          .optional()
          .meta({
            description: 'Checksum of every block: blake2 (default), sha256, xxhash or crc32c.',
            examples: ['blake2'],
            default: 'blake2',
          }),
        compress: text(matching(compress, 'is not a compression this version offers'), {
          description: 'off, lzo, or zstd with a level from 1 to 15. Default zstd:3.',
          examples: ['zstd:3'],
          pattern: compress.source,
          default: 'zstd:3',
        }).optional(),
      })
      .optional()
      .meta({
        description: 'Fixed at create: mirror, checksum, compress.',
        examples: [{ mirror: 'raid1', checksum: 'blake2' }],
      }),
    unlock: z
      .strictObject({ passphrase: passphrase.optional(), kdf: kdf.optional() })
      .optional()
      .meta({
        description: 'Where the passphrase comes from (default: prompt) and what a guess costs.',
        examples: [{ passphrase: { prompt: true } }],
      }),
    allow_same_provider: z
      .boolean()
      .optional()
      .meta({
        description: 'true when two members at one provider, or on one host, are intended.',
        examples: [true],
        default: false,
      }),
    members: z
      .array(member)
      .min(1)
      .max(32)
      .meta({
        description: 'The servers, two or more for a mirror; their order does not matter.',
        examples: [[memberExample]],
      }),
  })
  .meta({
    title: 'cloudvault profile',
    description: 'One vault: a mounted, encrypted drive whose mirrors stand on servers that are not trusted.',
    examples: [{ version: 1 }],
  })

/** A profile as written, after its parts are checked one by one. */
export type Written = z.infer<typeof profileSchema>
export type WrittenMember = Written['members'][number]
