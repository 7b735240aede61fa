import { defaultRedundancy } from './draft.ts'
import type { Disk, Kdf, Link, Member, PassphraseSource, Profile } from './profile.ts'
import type { Written, WrittenMember } from './schema.ts'
import { type Parsed, parseDuration, parseSize } from './units.ts'

/**
 * A profile as written → the shape that every other layer works with: defaults filled in, sizes in bytes,
 * durations in milliseconds. The schema and the cross rules have passed; what they exclude is a bug here.
 */
export const shapeOf = (written: Written, path: string): Profile => {
  const { version, vault, mount, filesystem = {}, unlock = {}, members } = written
  const redundancy = filesystem.mirror ?? defaultRedundancy(members.length)
  return {
    path,
    version,
    vault,
    mount: { at: mount.at, ...(mount.owner === undefined ? {} : { owner: mount.owner }) },
    filesystem: {
      redundancy,
      assured: redundancy,
      checksum: filesystem.checksum ?? 'blake2',
      compress: compressOf(filesystem.compress ?? 'zstd'),
    },
    unlock: {
      passphrase: sourceOf(unlock.passphrase ?? { prompt: true }),
      ...(unlock.kdf === undefined ? {} : { kdf: kdfOf(unlock.kdf) }),
    },
    members: members.map((member) => memberOf(member, redundancy === 'single' ? 300_000 : 30_000)),
    allowSameProvider: written.allow_same_provider ?? false,
  }
}

const compressOf = (text: string): string | null => {
  if (text === 'off') return null
  return text === 'zstd' ? 'zstd:3' : text
}

const sourceOf = ({
  file,
  command,
  credential,
}: NonNullable<NonNullable<Written['unlock']>['passphrase']>): PassphraseSource => {
  if (file !== undefined) return { kind: 'file', path: file }
  if (command !== undefined) return { kind: 'command', argv: command }
  return credential === undefined ? { kind: 'prompt' } : { kind: 'credential', name: credential }
}

const kdfOf = (kdf: NonNullable<NonNullable<Written['unlock']>['kdf']>): Kdf => {
  if (kdf.algorithm === 'pbkdf2') return kdf
  const { algorithm, memory, iterations, threads } = kdf
  return {
    algorithm,
    ...(memory === undefined ? {} : { memoryBytes: value(parseSize(memory)) }),
    ...(iterations === undefined ? {} : { iterations }),
    ...(threads === undefined ? {} : { threads }),
  }
}

const memberOf = (member: WrittenMember, patienceMs: number): Member => ({
  kind: 'server',
  name: member.name,
  provider: member.provider,
  ssh: member.ssh,
  ...(member.host_key === undefined ? {} : { hostKey: member.host_key }),
  disk: diskOf(member.disk),
  server: member.server ?? 'nbd-server',
  link: linkOf(member.link ?? 'ssh'),
  ...(member.firewall === undefined ? {} : { firewall: member.firewall }),
  patienceMs: member.patience === undefined ? patienceMs : value(parseDuration(member.patience)),
})

const diskOf = ({ file, size, device }: WrittenMember['disk']): Disk => {
  if (file !== undefined && size !== undefined)
    return { kind: 'file', path: file, sizeBytes: value(parseSize(size)) }
  if (device !== undefined) return { kind: 'device', path: device }
  throw new Error('a disk without a file and a device passed the rules')
}

/** What nbd is registered for. */
const nbdPort = 10809
const wireguardPort = 51820
const ipsecPort = 4500

type WrittenLink = Exclude<NonNullable<WrittenMember['link']>, string>

const linkOf = (link: NonNullable<WrittenMember['link']>): Link => {
  const written: WrittenLink = typeof link === 'string' ? { [link]: {} } : link
  const { tls, wireguard, ipsec, plain } = written
  if (tls) return { kind: 'tls', ...portOf(tls, nbdPort), ...clientsOf(tls), auth: tls.auth ?? 'psk' }
  if (plain) return { kind: 'plain', ...portOf(plain, nbdPort), ...clientsOf(plain) }
  if (ipsec) return { kind: 'ipsec', ...portOf(ipsec, ipsecPort), ...clientsOf(ipsec) }
  if (wireguard) return { kind: 'wireguard', ...portOf(wireguard, wireguardPort) }
  return { kind: 'ssh' }
}

const portOf = (
  { port, address }: { port?: number | undefined; address?: string | undefined },
  fallback: number,
) => ({ port: port ?? fallback, ...(address === undefined ? {} : { address }) })

const clientsOf = ({ clients = [] }: { clients?: string[] | undefined }) => ({ clients })

const value = (parsed: Parsed): number => {
  if ('value' in parsed) return parsed.value
  throw new Error(`a quantity passed the schema that ${parsed.fault}`)
}
