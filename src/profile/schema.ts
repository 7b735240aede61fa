import * as z from 'zod'
import { memberPattern, vaultPattern } from '../names.ts'
import { clientRange, hostOrAddress } from './rules/address.ts'
import { destination, userName, userPattern } from './rules/destination.ts'
import { hostKey, hostKeyPattern, howToGet } from './rules/hostkey.ts'
import { diskDevice, diskFile, localFile, mountPoint, type Rule } from './rules/path.ts'
import {
  durationPattern,
  type Parsed,
  parseDiskSize,
  parseDuration,
  parseSize,
  sizePattern,
} from './units.ts'

/**
 * The shape of a profile as people write it, in the manual's words: the only source of what is allowed, of the
 * texts in errors and of the published JSON Schema. Closed everywhere: an unknown key is an error. What concerns
 * several keys at once stands in cross.ts.
 */

interface Words {
  readonly description: string
  readonly examples: readonly [unknown, ...unknown[]]
  readonly pattern?: string
  readonly default?: unknown
}

/** A text that one rule judges. */
const text = (rule: Rule, words: Words) =>
  z
    .string()
    .superRefine((value, context) => {
      const fault = rule(value)
      if (fault) context.addIssue({ code: 'custom', message: fault })
    })
    .meta({ ...words, examples: [...words.examples] })

const quantity =
  (parse: (text: string) => Parsed): Rule =>
  (value) => {
    const parsed = parse(value)
    return 'fault' in parsed ? parsed.fault : null
  }

const matching =
  (pattern: RegExp, otherwise: string): Rule =>
  (value) =>
    pattern.test(value) ? null : otherwise

const kdfMemory = quantity((value) => {
  const parsed = parseSize(value)
  if ('fault' in parsed) return parsed
  const inRange = parsed.value >= 32 * 1024 && parsed.value <= 4 * 1024 ** 3
  if (!inRange) return { fault: 'must be 32KiB to 4GiB (limits of cryptsetup)' }
  return parsed.value % 1024 === 0 ? parsed : { fault: 'must be a multiple of 1KiB' }
})

const kdf = z
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

const passphrase = z
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

const disk = z
  .strictObject({
    file: text(diskFile, {
      description: 'Absolute path of the file on the server; allocated in full by provision.',
      examples: ['/srv/cloudvault/photos.img'],
    }).optional(),
    size: text(quantity(parseDiskSize), {
      description:
        'A number with B, KiB, MiB, GiB or TiB (K, M, G, T mean the same); 256MiB to 16TiB, a multiple of 4096 bytes.',
      examples: ['100GiB'],
      pattern: sizePattern,
    }).optional(),
    device: text(diskDevice, {
      description: 'A block device on the server, under /dev/disk/by-id/ or another name that stays.',
      examples: ['/dev/disk/by-id/scsi-0vendor_volume-1'],
    }).optional(),
  })
  .meta({
    description: 'The disk on the server: a file with its size, or a device.',
    examples: [{ file: '/srv/cloudvault/photos.img', size: '100GiB' }],
    oneOf: [{ required: ['file', 'size'] }, { required: ['device'] }],
  })

const plain = z
  .strictObject({
    port: z
      .int()
      .min(1)
      .max(65535)
      .optional()
      .meta({ description: 'TCP port of the export: 1 to 65535.', examples: [10809], default: 10809 }),
    address: text(hostOrAddress, {
      description: 'Host or address the port is reached at. Default: the host that SSH resolves to.',
      examples: ['203.0.113.7'],
    }).optional(),
    clients: z
      .array(
        text(clientRange, {
          description: 'An address, or a range like 198.51.100.0/28; never everybody.',
          examples: ['198.51.100.4'],
        }),
      )
      .max(64)
      .optional()
      .meta({
        description:
          'Addresses that may connect. Default: the one that this machine’s SSH connection comes from.',
        examples: [['198.51.100.4']],
      }),
  })
  .meta({ description: 'Port, address and clients of the plain link.', examples: [{ port: 10809 }] })

const link = z.union([z.enum(['ssh', 'plain']), z.strictObject({ plain })]).meta({
  description:
    'How bytes travel: ssh (default; nothing but port 22 is open), or plain (NBD without authentication, pinned by a firewall).',
  examples: ['ssh', { plain: { port: 10809 } }],
  default: 'ssh',
})

const server = z.strictObject({
  name: text(
    matching(
      memberPattern,
      'a member is 1 to 16 of a-z and 0-9, starting with a letter; no dash, because the last dash of cv-<vault>-<member> separates the two',
    ),
    {
      description: 'Short name of this member: 1 to 16 of a-z and 0-9, starting with a letter.',
      examples: ['fsn'],
      pattern: memberPattern.source,
    },
  ),
  kind: z
    .literal('server')
    .optional()
    .meta({
      description: 'What serves it; today only server (a machine reached by SSH).',
      examples: ['server'],
    }),
  provider: text(
    matching(
      /^[A-Za-z0-9][A-Za-z0-9 ._-]{0,31}$/,
      'a provider is 1 to 32 letters, digits, spaces or . _ -, starting with a letter or digit',
    ),
    {
      description: 'Who runs the machine; two mirrors at one provider are lost together.',
      examples: ['hetzner'],
    },
  ),
  ssh: text(destination, {
    description: 'An alias of ~/.ssh/config, or [user@]host[:port]; IPv6 in brackets and quotes.',
    examples: ['vps-fsn'],
  }),
  host_key: text(hostKey, {
    description: `Fingerprint of the server's host key: SHA256: and 43 characters. To get it: ${howToGet}`,
    examples: ['SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'],
    pattern: hostKeyPattern,
  }).optional(),
  disk,
  server: z
    .enum(['nbd-server', 'nbdkit'])
    .optional()
    .meta({
      description: 'The NBD server on the far side: nbd-server (default) or nbdkit.',
      examples: ['nbd-server'],
      default: 'nbd-server',
    }),
  link: link.optional(),
  patience: text(quantity(parseDuration), {
    description:
      'Silence longer than this: go on without the member. A number with ms, s, m or h, at most 24h. Default 30s, 300s without a mirror.',
    examples: ['30s'],
    pattern: durationPattern,
  }).optional(),
})

const compress = /^(off|lzo|zstd(:([1-9]|1[0-5]))?)$/

const memberExample = {
  name: 'fsn',
  provider: 'hetzner',
  ssh: 'vps-fsn',
  disk: { file: '/srv/cloudvault/photos.img', size: '100GiB' },
}

/** One of several kinds; only the far side and the link know which. */
const member = z.discriminatedUnion('kind', [server]).meta({
  description:
    'A server that holds one member: name, provider, ssh, disk; optionally host_key, server, link, patience.',
  examples: [memberExample],
})

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
