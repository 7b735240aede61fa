import * as z from 'zod'
import { clientRange, hostOrAddress } from '../rules/address.ts'
import { text } from './field.ts'

/**
 * The link of a member: a word, or a block with one key, the kind, and under it what this kind can be told.
 */

const port = (fallback: number, what: string) =>
  z
    .int()
    .min(1)
    .max(65535)
    .optional()
    .meta({ description: `${what}: 1 to 65535.`, examples: [fallback], default: fallback })

const address = text(hostOrAddress, {
  description: 'Host or address the port is reached at. Default: the host that SSH resolves to.',
  examples: ['203.0.113.7'],
}).optional()

const clients = z
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
  })

const plain = z
  .strictObject({ port: port(10809, 'TCP port of the export'), address, clients })
  .meta({ description: 'Port, address and clients of the plain link.', examples: [{ port: 10809 }] })

const tls = z
  .strictObject({
    port: port(10809, 'TCP port that stunnel answers at'),
    address,
    clients,
    auth: z
      .enum(['psk', 'x509'])
      .optional()
      .meta({
        description:
          'How both ends know each other: psk (a key that provision makes; default) or x509 (certificates of an authority that provision makes).',
        examples: ['psk'],
        default: 'psk',
      }),
  })
  .meta({
    description: 'Port, address, clients and authentication of the TLS link.',
    examples: [{ port: 10809, auth: 'psk' }],
  })

const wireguard = z
  .strictObject({ port: port(51820, 'UDP port of the tunnel'), address })
  .meta({ description: 'Port and address of the WireGuard link.', examples: [{ port: 51820 }] })

const ipsec = z
  .strictObject({ port: port(4500, 'UDP port of the tunnel'), address, clients })
  .meta({ description: 'Port, address and clients of the IPsec link.', examples: [{ port: 4500 }] })

export const link = z
  .union([
    z.enum(['ssh', 'tls', 'wireguard', 'ipsec', 'plain']),
    z.strictObject({
      tls: tls.optional(),
      wireguard: wireguard.optional(),
      ipsec: ipsec.optional(),
      plain: plain.optional(),
    }),
  ])
  .meta({
    description:
      'How bytes travel: ssh (default; nothing but port 22 is open), tls (stunnel, TLS 1.3, one port), wireguard (a tunnel; this machine’s address may change), ipsec (strongSwan), or plain (NBD without authentication, pinned by a firewall).',
    examples: ['ssh', { tls: { port: 10809 } }],
    default: 'ssh',
  })
