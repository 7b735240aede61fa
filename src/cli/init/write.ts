import { shellLine } from '../../host/quote.ts'
import { vaultPattern } from '../../names.ts'
import type { PassphraseSource, Redundancy } from '../../profile/profile.ts'
import { escapeLine } from '../../ui/style.ts'
import { type Draft, type MemberDraft, memberKeys } from './draft.ts'

/**
 * A finished draft in its two written forms: the commented profile, and the command that makes the same profile
 * without a question. Both are pure; `cloudvault check` would accept the first.
 */

/** What mirrors when nobody said: every block twice, as soon as there are two servers. */
export const usualMirror = (members: number): Redundancy => (members > 1 ? 'raid1' : 'single')

/** Column of the comments. */
const margin = 34

const line = (text: string, comment?: string): string =>
  comment ? `${text.padEnd(margin - 1)} # ${comment}` : text

/** A scalar: bare where YAML 1.2 reads it back as the same text, else in JSON's quotes, which YAML reads as well. */
const scalar = (text: string): string => {
  const bare = /^[A-Za-z/][\w./@+:-]*$/.test(text) && !/:$/.test(text)
  return bare && !/^(true|false|null|yes|no|on|off)$/i.test(text) ? text : JSON.stringify(text)
}

/** The disk of a member nobody named one for. Two members on one host do not share a file. */
const diskFile = (draft: Draft, member: MemberDraft): string => {
  const { vault = '', members } = draft
  // A bad name is one fault, at the name; not one more in every path that is made of it.
  const stem = vaultPattern.test(vault) ? vault : 'vault'
  const shared = members.filter(({ ssh }) => ssh === member.ssh).length > 1
  return `/srv/cloudvault/${stem}${shared ? `-${members.indexOf(member) + 1}` : ''}.img`
}

/** The profile as YAML, commented, ready to be edited by hand. @param schema what editors check it with */
export const profileText = (draft: Draft, schema?: string): string => {
  const mirror = draft.mirror ?? usualMirror(draft.members.length)
  return [
    ...(schema ? [`# yaml-language-server: $schema=${schema}`, '#'] : []),
    `# Written by \`cloudvault init\`. After an edit: cloudvault check ${escapeLine(draft.vault ?? '')}`,
    '',
    line('version: 1', 'of this format'),
    line(`vault: ${scalar(draft.vault ?? '')}`, 'part of every name cloudvault makes'),
    '',
    'mount:',
    line(`  at: ${scalar(draft.at ?? '')}`, 'made if missing, must be empty'),
    ...(draft.owner
      ? [line(`  owner: ${scalar(draft.owner)}`, 'gets the top directory, once, at create')]
      : []),
    '',
    line('filesystem:', 'checksum is fixed at create'),
    line(`  mirror: ${scalar(mirror)}`, mirrorComments[mirror as Redundancy]),
    line('  checksum: blake2', 'crc32c is faster, and a malicious provider can forge it'),
    line('  compress: zstd:3', 'off | lzo | zstd[:1-15]'),
    '',
    'unlock:',
    ...passphraseLines(draft.passphrase ?? { kind: 'prompt' }),
    ...(draft.kdf ? [line(`  kdf: ${flow(draft.kdf)}`, 'what one guess of the passphrase costs')] : []),
    '',
    ...(draft.sameProvider
      ? [line('allow_same_provider: true', 'these mirrors can be lost together'), '']
      : []),
    line('members:', 'their order does not matter'),
    ...draft.members.flatMap((member, index) => memberLines(draft, member, index === 0)),
    '',
  ].join('\n')
}

const mirrorComments: Partial<Record<Redundancy, string>> = {
  single: 'one copy: losing a server loses the vault',
  raid1: 'every block on two servers: any one can be lost',
  raid1c3: 'every block on three servers: any two can be lost',
  raid1c4: 'every block on four servers: any three can be lost',
  raid10: 'every block on two servers, striped',
}

const passphraseLines = (source: PassphraseSource): string[] => {
  const words = {
    prompt: ['{ prompt: true }', 'asked at every `cloudvault up`'],
    file: [`{ file: ${source.kind === 'file' ? scalar(source.path) : ''} }`, 'mode 0600'],
    command: [
      `{ command: [${source.kind === 'command' ? source.argv.map(scalar).join(', ') : ''}] }`,
      'no shell',
    ],
    credential: [
      `{ credential: ${source.kind === 'credential' ? scalar(source.name) : ''} }`,
      'of systemd, for a vault that comes up at boot',
    ],
  }
  const [value, comment] = words[source.kind]
  return [line(`  passphrase: ${value}`, comment)]
}

const flow = (block: Readonly<Record<string, string | number>>): string =>
  `{ ${Object.entries(block)
    .map(([key, value]) => `${key}: ${typeof value === 'number' ? value : scalar(value)}`)
    .join(', ')} }`

/** One more member for a profile that exists; its other members are in the draft, so that two do not share a file. */
export const memberBlock = (draft: Draft, member: MemberDraft): string =>
  memberLines({ ...draft, members: [...draft.members, member] }, member, false)
    .filter((text) => !/^ *# host_key/.test(text))
    .join('\n')

const memberLines = (draft: Draft, member: MemberDraft, first: boolean): string[] => {
  const disk = member.device
    ? `{ device: ${scalar(member.device)} }`
    : `{ file: ${scalar(member.file ?? diskFile(draft, member))}, size: ${sizeScalar(member.size ?? '')} }`
  const say = (text: string, comment: string): string => line(text, first ? comment : undefined)
  const plainPort = /^plain:(\d+)$/.exec(member.link ?? '')?.[1]
  return [
    ...(first ? [] : ['']),
    `  - name: ${scalar(member.name ?? '')}`,
    say(`    provider: ${scalar(member.provider ?? '')}`, 'two mirrors at one provider are lost together'),
    say(`    ssh: ${scalar(member.ssh ?? '')}`, 'an alias of ~/.ssh/config, or [user@]host[:port]'),
    member['host-key']
      ? `    host_key: ${scalar(member['host-key'])}`
      : say('    # host_key: SHA256:…', 'written here by the first `cloudvault provision`'),
    `    disk: ${disk}`,
    ...(member.server ? [`    server: ${scalar(member.server)}`] : []),
    plainPort
      ? `    link: { plain: { port: ${plainPort} } }`
      : say(`    link: ${scalar(member.link ?? 'ssh')}`, linkComments[member.link ?? 'ssh'] ?? ''),
    ...(member.patience ? [`    patience: ${sizeScalar(member.patience)}`] : []),
  ]
}

const linkComments: Record<string, string> = {
  ssh: 'nothing but the SSH port is open on the server',
  tls: 'TLS 1.3, one port is open to this machine',
  wireguard: 'a tunnel through one UDP port; our address may change',
  ipsec: 'strongSwan through one UDP port, open to this machine',
  plain: 'NBD without authentication, pinned by a firewall',
}

/** Sizes and durations start with a digit and are texts all the same; a bare number stays one, for the check to see. */
const sizeScalar = (text: string): string =>
  /^[0-9][0-9.]*[A-Za-z]*$/.test(text) ? text : JSON.stringify(text)

/** The words of the command that writes the same profile without asking. */
export const equivalent = (draft: Draft): string[] => [
  'cloudvault',
  'init',
  draft.vault ?? '',
  ...draft.members.flatMap((member) => ['--member', memberWord(member)]),
  ...(draft.at ? ['--at', draft.at] : []),
  ...(draft.owner ? ['--owner', draft.owner] : []),
  '--mirror',
  draft.mirror ?? usualMirror(draft.members.length),
  '--passphrase',
  passphraseWord(draft.passphrase ?? { kind: 'prompt' }),
  ...(draft.kdf ? ['--kdf', kdfWord(draft.kdf)] : []),
  ...(draft.sameProvider ? ['--allow-same-provider'] : []),
]

export const equivalentLine = (draft: Draft): string => shellLine(equivalent(draft))

const memberWord = (member: MemberDraft): string =>
  memberKeys.flatMap((key) => (member[key] === undefined ? [] : [`${key}=${member[key]}`])).join(',')

const passphraseWord = (source: PassphraseSource): string => {
  switch (source.kind) {
    case 'prompt':
      return 'prompt'
    case 'file':
      return `file:${source.path}`
    case 'credential':
      return `credential:${source.name}`
    case 'command':
      return `command:${JSON.stringify(source.argv)}`
  }
}

const kdfWord = ({ algorithm, ...rest }: Readonly<Record<string, string | number>>): string =>
  [algorithm, ...Object.entries(rest).map(([key, value]) => `${key}=${value}`)].join(',')
