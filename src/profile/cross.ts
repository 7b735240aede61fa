import type { Draft, DraftMember } from './draft.ts'
import { block } from './draft.ts'
import { quoted } from './faults.ts'
import type { Path } from './manual.ts'
import { liesIn } from './rules/path.ts'
import { formatSize, parseDuration, parseSize } from './units.ts'

/**
 * Rules that concern several keys, or several members, at once. Each is a function from the draft to what it
 * found; a fault stops everything, a warning is said and passed.
 */
export interface Found {
  readonly path: Path
  readonly message: string
  readonly warning?: true
  /** The key is the place to look at, not its value. */
  readonly key?: true
}

type CrossRule = (draft: Draft) => readonly Found[]

/** Btrfs takes raid10 with two devices since 5.5, but then it is raid1 under another name; four is what it promises. */
const needed = { single: 1, raid1: 2, raid1c3: 3, raid1c4: 4, raid10: 4 } as const

const enoughMembers: CrossRule = ({ redundancy, members }) => {
  const count = redundancy ? needed[redundancy] : 0
  if (!redundancy || members.length === 0 || members.length >= count) return []
  const message = `${redundancy} needs ${count} members, and there ${members.length === 1 ? 'is one' : `are ${members.length}`}`
  return [{ path: ['filesystem', 'mirror'], message }]
}

const singleIsNoMirror: CrossRule = ({ redundancy, members }) =>
  redundancy === 'single' && members.length > 1
    ? [
        {
          path: ['filesystem', 'mirror'],
          message: `single over ${members.length} members: losing any one of them loses the vault`,
          warning: true,
        },
      ]
    : []

/** Every pair (earlier, later) that `same` calls equal; each later member once. */
const pairs = (
  members: readonly DraftMember[],
  same: (a: DraftMember, b: DraftMember) => boolean,
): [DraftMember, DraftMember][] =>
  members.flatMap((later, i) => {
    const earlier = members.slice(0, i).find((other) => same(other, later))
    return earlier ? [[earlier, later] satisfies [DraftMember, DraftMember]] : []
  })

const sameText = (a: string | undefined, b: string | undefined): boolean =>
  a !== undefined && b !== undefined && a.toLowerCase() === b.toLowerCase()

const who = ({ index, name }: DraftMember): string =>
  name === undefined ? `members[${index}]` : `members[${index}] (${name})`

const uniqueNames: CrossRule = ({ members }) =>
  pairs(members, (a, b) => sameText(a.name, b.name)).map(([a, b]) => ({
    path: ['members', b.index, 'name'],
    message: `${quoted(b.name ?? '')} is the name of members[${a.index}] already${a.name === b.name ? '' : ' (case does not count)'}`,
  }))

const sameHost = (a: DraftMember, b: DraftMember): boolean => sameText(a.ssh?.host, b.ssh?.host)
const diskPath = ({ disk }: DraftMember): unknown => disk.file ?? disk.device

const separateDisks: CrossRule = ({ members }) =>
  pairs(members, (a, b) => sameHost(a, b) && diskPath(a) !== undefined && diskPath(a) === diskPath(b)).map(
    ([a, b]) => ({
      path: ['members', b.index, 'disk', b.disk.file === undefined ? 'device' : 'file'],
      message: `is the disk of ${who(a)} already`,
    }),
  )

const separateProviders: CrossRule = ({ members, allowSameProvider, redundancy }) => {
  if (allowSameProvider || redundancy === 'single') return []
  const hint = 'if that is intended, say allow_same_provider: true'
  const providers = pairs(members, (a, b) => sameText(a.provider, b.provider)).map(([a, b]) => ({
    path: ['members', b.index, 'provider'],
    message: `${quoted(b.provider ?? '')} runs ${who(a)} too: both mirrors can be lost at once; ${hint}`,
  }))
  const hosts = pairs(members, sameHost).map(([a, b]) => ({
    path: ['members', b.index, 'ssh'],
    message: `is the host of ${who(a)} too: both mirrors can be lost at once; ${hint}`,
  }))
  return [...providers, ...hosts]
}

const fileOrDevice: CrossRule = ({ members, root }) =>
  members.flatMap(({ index, disk }): Found[] => {
    const path: Path = ['members', index, 'disk']
    const given = block(block((root.members as unknown[])[index]).disk)
    if (given !== disk && Object.keys(disk).length === 0) return []
    const { file, device, size } = disk
    if (file !== undefined && device !== undefined)
      return [
        { path: [...path, 'device'], key: true, message: 'stands beside file; a disk is one of the two' },
      ]
    if (device !== undefined && size !== undefined)
      return [{ path: [...path, 'size'], key: true, message: 'a device has its own size; delete this line' }]
    if (file !== undefined && size === undefined) return [{ path: [...path, 'size'], message: 'is missing' }]
    const empty = file === undefined && device === undefined
    return empty && block((root.members as unknown[])[index]).disk !== undefined
      ? [{ path, message: 'names neither a file nor a device' }]
      : []
  })

const oneSource: CrossRule = ({ root }) => {
  const value = block(root.unlock).passphrase
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return []
  const sources = Object.keys(value).filter((key) =>
    ['prompt', 'file', 'command', 'credential'].includes(key),
  )
  const path: Path = ['unlock', 'passphrase']
  if (sources.length > 1) return [{ path, message: `exactly one source; there are ${sources.join(' and ')}` }]
  return Object.keys(value).length === 0 ? [{ path, message: 'names no source' }] : []
}

/** What is needed to open the vault must not lie inside it. */
const keyOutside: CrossRule = ({ root }) => {
  const at = block(root.mount).at
  const file = block(block(root.unlock).passphrase).file
  return typeof at === 'string' && typeof file === 'string' && at !== '/' && liesIn(file, at)
    ? [{ path: ['unlock', 'passphrase', 'file'], message: 'lies inside the vault it would open' }]
    : []
}

/** A block names one kind. */
const oneLink: CrossRule = ({ members, root }) =>
  members.flatMap(({ index }): Found[] => {
    const { link } = block((root.members as unknown[])[index])
    const kinds = Object.keys(block(link))
    if (typeof link !== 'object' || link === null || Array.isArray(link) || kinds.length === 1) return []
    const message =
      kinds.length === 0 ? 'names no kind' : `exactly one kind; there are ${kinds.join(' and ')}`
    return [{ path: ['members', index, 'link'], message }]
  })

/** Links that listen on a port of the server: which protocol, and which port when the profile says nothing. */
const openPorts: Readonly<Record<string, readonly ['tcp' | 'udp', number]>> = {
  plain: ['tcp', 10809],
  tls: ['tcp', 10809],
  wireguard: ['udp', 51820],
  ipsec: ['udp', 4500],
}

const ports: CrossRule = ({ members }) => {
  const open = ({ link = '' }: DraftMember) => (Object.hasOwn(openPorts, link) ? openPorts[link] : undefined)
  const port = (member: DraftMember): unknown => member.settings.port ?? open(member)?.[1]
  const place = ({ index, link = '' }: DraftMember): Path => ['members', index, 'link', link, 'port']
  const same = (a: DraftMember, b: DraftMember): boolean =>
    sameHost(a, b) && open(a)?.[0] === open(b)?.[0] && port(a) === port(b)
  const opening = members.filter((member) => open(member) !== undefined)
  const taken = opening
    .filter((member) => open(member)?.[0] === 'tcp' && port(member) === (member.ssh?.port ?? 22))
    .map((member) => ({ path: place(member), message: `is the port of SSH on that server` }))
  const twice = pairs(opening, same).map(([a, b]) => ({
    path: place(b),
    message: `is the port of ${who(a)} on the same host already`,
  }))
  return [...taken, ...twice]
}

const plainLink: CrossRule = ({ members }) =>
  members
    .filter(({ link }) => link === 'plain')
    .map(({ index }) => ({
      path: ['members', index, 'link'],
      warning: true,
      message:
        'plain has no authentication: only the firewall keeps others from the (encrypted) disk; link: ssh needs no open port',
    }))

const weakChecksum: CrossRule = ({ root }) =>
  block(root.filesystem).checksum === 'crc32c'
    ? [
        {
          path: ['filesystem', 'checksum'],
          warning: true,
          message: 'crc32c can be forged by a malicious provider even under encryption; blake2 cannot',
        },
      ]
    : []

const sizesDiffer: CrossRule = ({ members, redundancy }) => {
  const sized = members.filter(({ sizeBytes }) => sizeBytes !== undefined)
  const [first, ...others] = sized
  const other = others.find(({ sizeBytes }) => sizeBytes !== first?.sizeBytes)
  if (!first || !other || redundancy === 'single') return []
  const list = sized.map(({ name, index, sizeBytes }) => `${name ?? index} ${formatSize(sizeBytes ?? 0)}`)
  return [
    {
      path: ['members', other.index, 'disk', 'size'],
      warning: true,
      message: `sizes differ (${list.join(', ')}): what the larger ones have more may stay unused`,
    },
  ]
}

const shortPatience: CrossRule = ({ root, members }) =>
  members.flatMap(({ index }): Found[] => {
    const { patience } = block((root.members as unknown[])[index])
    const parsed = typeof patience === 'string' ? parseDuration(patience) : undefined
    if (!parsed || !('value' in parsed) || parsed.value >= 10_000) return []
    const message = 'is shorter than the 10 s a request may take; a slow moment will cost a resilver'
    return [{ path: ['members', index, 'patience'], warning: true, message }]
  })

const cheapKdf: CrossRule = ({ root }) => {
  const { algorithm, iterations, memory } = block(block(root.unlock).kdf)
  const parsed = typeof memory === 'string' ? parseSize(memory) : undefined
  const cheap =
    (algorithm === 'pbkdf2' && typeof iterations === 'number' && iterations < 600_000) ||
    (algorithm === 'argon2id' && parsed && 'value' in parsed && parsed.value < 64 * 1024 ** 2)
  const message = 'makes guessing the passphrase cheap: for tests only'
  return cheap ? [{ path: ['unlock', 'kdf'], warning: true, message }] : []
}

const rules: readonly CrossRule[] = [
  enoughMembers,
  singleIsNoMirror,
  uniqueNames,
  separateDisks,
  separateProviders,
  fileOrDevice,
  oneSource,
  keyOutside,
  oneLink,
  ports,
  plainLink,
  weakChecksum,
  sizesDiffer,
  shortPatience,
  cheapKdf,
]

/** Everything the rules above find in a draft. */
export const crossFindings = (draft: Draft): readonly Found[] => rules.flatMap((rule) => rule(draft))
