import * as z from 'zod'
import { memberPattern } from '../../names.ts'
import { destination } from '../rules/destination.ts'
import { hostKey, hostKeyPattern, howToGet } from '../rules/hostkey.ts'
import { diskDevice, diskFile } from '../rules/path.ts'
import { durationPattern, parseDiskSize, parseDuration, sizePattern } from '../units.ts'
import { matching, quantity, text } from './field.ts'
import { link } from './link.ts'

/**
 * One entry of `members`: a server, its disk and the link to it.
 */

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
  firewall: z
    .enum(['nftables', 'ufw', 'iptables', 'firewalld'])
    .optional()
    .meta({
      description:
        'What keeps others from the port of the link: provision stops when the server runs another one. Default: whatever it runs.',
      examples: ['firewalld'],
    }),
  patience: text(quantity(parseDuration), {
    description:
      'Silence longer than this: go on without the member. A number with ms, s, m or h, at most 24h. Default 30s, 300s without a mirror.',
    examples: ['30s'],
    pattern: durationPattern,
  }).optional(),
})

export const memberExample = {
  name: 'fsn',
  provider: 'hetzner',
  ssh: 'vps-fsn',
  disk: { file: '/srv/cloudvault/photos.img', size: '100GiB' },
}

/** One of several kinds; only the far side and the link know which. */
export const member = z.discriminatedUnion('kind', [server]).meta({
  description:
    'A server that holds one member: name, provider, ssh, disk; optionally host_key, server, link, firewall, patience.',
  examples: [memberExample],
})
