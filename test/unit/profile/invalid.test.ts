import { describe, expect, it } from 'vitest'
import { Exit } from '../../../src/fault.ts'
import { ProfileFaults } from '../../../src/profile/faults.ts'
import { parseProfile } from '../../../src/profile/load.ts'

/**
 * The bad inputs of the reliability reference (D3), by its numbers: each is one change to a sound profile, and must be
 * told with line, column, key path and reason. The list ends with those that are no matter of a profile's text, and
 * where they are tested instead.
 */

const sound = `version: 1
vault: photos
mount:
  at: /vault/photos
filesystem:
  mirror: raid1
unlock:
  passphrase: { prompt: true }
members:
  - name: fsn
    provider: hetzner
    ssh: vps-fsn
    disk: { file: /srv/cloudvault/photos.img, size: 100GiB }
    link: ssh
    patience: 30s
  - name: gra
    provider: ovh
    ssh: vps-gra
    disk: { file: /srv/cloudvault/photos.img, size: 100GiB }
`

const faultsOf = (text: string) => {
  try {
    parseProfile(text, 'bad.yaml')
  } catch (error) {
    expect(error).toBeInstanceOf(ProfileFaults)
    expect((error as ProfileFaults).exit).toBe(Exit.usage)
    return (error as ProfileFaults).faults
  }
  return []
}

const change = (find: string, replacement: string): string => {
  if (!sound.includes(find)) throw new Error(`the sound profile has no ${find}`)
  return sound.replace(find, () => replacement)
}

const mountAt = (value: string) => change('at: /vault/photos', `at: ${value}`)
const vault = (value: string) => change('vault: photos', `vault: ${value}`)
const ssh = (value: string) => change('ssh: vps-fsn', `ssh: ${value}`)
const size = (value: string) => change('size: 100GiB', `size: ${value}`)
const file = (value: string) => change('file: /srv/cloudvault/photos.img', `file: ${value}`)
const patience = (value: string) => change('patience: 30s', `patience: ${value}`)
const link = (value: string) => change('link: ssh', `link: ${value}`)
const pin = (value: string) => change('link: ssh', `host_key: ${value}`)
const filesystem = (value: string) => change('mirror: raid1', value)
const passphrase = (value: string) => change('passphrase: { prompt: true }', value)
const withLine = (line: string) => change('mount:', `${line}\nmount:`)

/** [D3 number, what, text, "line:column", key path, reason] */
type Case = readonly [number, string, string, string, string, RegExp]

// biome-ignore format: one case, one line
const document: readonly Case[] = [
  [1, 'empty file', '', '0:0', '', /empty.*cloudvault init/],
  [1, 'only comments', '# nothing\n\n# here\n', '0:0', '', /empty.*cloudvault init/],
  [2, 'tab as indentation', change('  at:', '\tat:'), '4:1', '', /tabs/],
  [4, 'anchor', vault('&v photos'), '2:11', 'vault', /anchors/],
  [4, 'alias', change('provider: ovh', 'provider: *v'), '17:15', 'members[1].provider', /aliases/],
  [4, 'self-referencing alias', withLine('x: &x [*x]'), '3:8', 'x[0]', /aliases/],
  [5, 'merge key', withLine('<<: { a: 1 }'), '3:1', '<<', /merge keys/],
  [5, '__proto__', withLine('__proto__: { a: 1 }'), '3:1', '__proto__', /not allowed/],
  [5, 'constructor', change('at:', 'constructor: 1\n  at:'), '4:3', 'mount.constructor', /not allowed/],
  [6, 'tag of a function', vault('!!js/function "x"'), '2:22', 'vault', /tags/],
  [6, 'tag !!binary', vault('!!binary cGhvdG9z'), '2:17', 'vault', /tags/],
  [6, 'a tag of its own', vault('!env VAULT'), '2:13', 'vault', /tags/],
  [6, '%YAML directive', `%YAML 1.1\n---\n${sound}`, '1:1', '', /directives/],
  [7, 'duplicate key', change('ssh: vps-gra', 'ssh: a\n    ssh: b'), '19:5', 'members[1].ssh', /twice; first at line 18/],
  [8, 'two documents', `${sound}---\nversion: 1\n`, '20:1', '', /second document/],
  [9, 'unknown key', change('passphrase:', 'pasphrase:'), '8:3', 'unlock.pasphrase', /did you mean passphrase\?/],
  [9, 'unknown key of another block', withLine('compress: off'), '3:1', 'compress', /filesystem\.compress/],
  [9, 'planned key', withLine('hooks: []'), '3:1', 'hooks', /not built yet/],
  [10, 'no version', change('version: 1\n', ''), '1:1', 'version', /missing/],
  [10, 'version 99', change('version: 1', 'version: 99'), '1:10', 'version', /newer cloudvault/],
  [44, 'include', withLine('include: other.yaml'), '3:1', 'include', /include nothing/],
]

// biome-ignore format: one case, one line
const names: readonly Case[] = [
  [11, 'vault ../../etc', vault('../../etc'), '2:8', 'vault', /1 to 24 of a-z/],
  [11, 'vault a/b', vault('a/b'), '2:8', 'vault', /1 to 24 of a-z/],
  [11, 'vault .', vault('.'), '2:8', 'vault', /1 to 24 of a-z/],
  [11, 'vault empty', vault('""'), '2:8', 'vault', /1 to 24 of a-z/],
  [11, 'vault without a value', vault(''), '2:1', 'vault', /no value/],
  [11, 'vault of 200', vault('a'.repeat(200)), '2:8', 'vault', /1 to 24 of a-z/],
  [11, 'vault -rf', vault('-rf'), '2:8', 'vault', /1 to 24 of a-z/],
  [11, 'vault look-alike', vault('phоtos'), '2:8', 'vault', /1 to 24 of a-z/],
  [11, 'vault NUL', vault('"a\\0b"'), '2:8', 'vault', /"a\\u0000b".*1 to 24/],
  [12, 'member twice', change('name: gra', 'name: fsn'), '16:11', 'members[1].name', /members\[0\] already/],
  [12, 'member by case', change('name: gra', 'name: FSN'), '16:11', 'members[1].name', /1 to 16 of a-z/],
  [12, 'member dash', change('name: gra', 'name: gra-1'), '16:11', 'members[1].name', /no dash, because/],
  [13, 'option as host', ssh('-oProxyCommand=x'), '12:10', 'members[0].ssh', /may not start with "-"/],
  [13, 'option behind user', ssh('root@-oProxyCommand=x'), '12:10', 'members[0].ssh', /may not start with "-"/],
  [14, 'host ;', ssh('a;id'), '12:10', 'members[0].ssh', /position 2/],
  [14, 'host backtick', ssh("'a`id`'"), '12:10', 'members[0].ssh', /position 2/],
  [14, 'host $()', ssh('host$(id)'), '12:10', 'members[0].ssh', /position 5/],
  [14, 'host space', ssh('vps fsn'), '12:10', 'members[0].ssh', /position 4/],
  [14, 'host newline', ssh('"vps\\nfsn"'), '12:10', 'members[0].ssh', /position 4/],
  [14, 'host @', ssh('a@b@c'), '12:10', 'members[0].ssh', /user name may have/],
  [15, 'host empty', ssh('root@'), '12:10', 'members[0].ssh', /host name is empty/],
  [15, 'host of 300', ssh('a.'.repeat(150)), '12:10', 'members[0].ssh', /longer than 253/],
  [15, 'trailing dot', ssh('vps.example.com.'), '12:10', 'members[0].ssh', /vps\.example\.com$/],
  [15, 'bare IPv6', ssh("'2001:db8::1'"), '12:10', 'members[0].ssh', /\[2001:db8::1\]/],
  [15, 'IPv6 without quotes', ssh('[2001:db8::1]'), '12:10', 'members[0].ssh', /needs quotes/],
  [15, 'zone id', ssh("'[fe80::1%eth0]:22'"), '12:10', 'members[0].ssh', /zone id/],
  [16, 'user root;id', ssh('root;id@host'), '12:10', 'members[0].ssh', /user name may have/],
  [16, 'user -l', ssh('"-l@host"'), '12:10', 'members[0].ssh', /may not start with "-"/],
  // Export names are made by cloudvault, so there is no key for one; config injection has to come through the path.
  [17, 'export name', change('link: ssh', 'export: x'), '14:5', 'members[0].export', /made by cloudvault/],
  [17, 'injected section', file('"/srv/a\\n[other]"'), '13:19', 'members[0].disk.file', /U\+000A at position 7/],
]

// biome-ignore format: one case, one line
const disks: readonly Case[] = [
  [18, 'relative path', file('srv/photos.img'), '13:19', 'members[0].disk.file', /absolute/],
  [18, 'path with ..', file('/srv/../etc/x'), '13:19', 'members[0].disk.file', /\. or \.\. parts/],
  [18, 'path with ~', file('~/photos.img'), '13:19', 'members[0].disk.file', /~ is not expanded/],
  [18, 'path with glob', file('/srv/*.img'), '13:19', 'members[0].disk.file', /\* at position 6/],
  [18, 'path with %s', file('/srv/%s.img'), '13:19', 'members[0].disk.file', /% at position 6/],
  [18, 'path /', file('/'), '13:19', 'members[0].disk.file', /directory/],
  [18, 'path in /etc', file('/etc/photos.img'), '13:19', 'members[0].disk.file', /lies in \/etc/],
  [18, 'path in /proc', file('/proc/photos.img'), '13:19', 'members[0].disk.file', /lies in \/proc/],
  [18, 'block device as file', file('/dev/sda'), '13:19', 'members[0].disk.file', /named with `device:`/],
  [18, 'unstable device', change('file: /srv/cloudvault/photos.img, size: 100GiB', 'device: /dev/sda'), '13:21', 'members[0].disk.device', /by-id/],
  [18, 'by-uuid', change('file: /srv/cloudvault/photos.img, size: 100GiB', 'device: /dev/disk/by-uuid/1-2'), '13:21', 'members[0].disk.device', /has none/],
  [18, 'device and size', change('file: /srv/cloudvault/photos.img', 'device: /dev/disk/by-id/a'), '13:40', 'members[0].disk.size', /own size/],
  [18, 'file and device', change('size: 100GiB', 'size: 100GiB, device: /dev/disk/by-id/a'), '13:61', 'members[0].disk.device', /one of the two/],
  [18, 'disk without either', change('{ file: /srv/cloudvault/photos.img, size: 100GiB }', '{}'), '13:11', 'members[0].disk', /neither/],
  [18, 'file without size', change(', size: 100GiB', ''), '13:11', 'members[0].disk.size', /missing/],
  [44, 'unset template', file(`'/srv/$\{VAULT}.img'`), '13:19', 'members[0].disk.file', /variables are not expanded/],
  [20, 'same host and path', change('ssh: vps-gra', 'ssh: VPS-fsn'), '19:19', 'members[1].disk.file', /members\[0\] \(fsn\)/],
  [20, 'one host, two providers', change('ssh: vps-gra', 'ssh: root@vps-fsn:2222'), '18:10', 'members[1].ssh', /allow_same_provider/],
  [20, 'one provider', change('provider: ovh', 'provider: Hetzner'), '17:15', 'members[1].provider', /allow_same_provider/],
  [21, 'size without unit', size('10'), '13:53', 'members[0].disk.size', /unit is missing; write 10GiB/],
  [21, 'size as text without unit', size('"10"'), '13:53', 'members[0].disk.size', /did you mean 10GiB/],
  [21, 'size 10g', size('10g'), '13:53', 'members[0].disk.size', /write 10G/],
  [21, 'size 10GB', size('10GB'), '13:53', 'members[0].disk.size', /ambiguous.*10GiB or 10G/],
  [21, 'size 1e3', size('1e3'), '13:53', 'members[0].disk.size', /plain decimal/],
  [21, 'size 1e3G', size('1e3G'), '13:53', 'members[0].disk.size', /exponents/],
  [21, 'size -5G', size('-5G'), '13:53', 'members[0].disk.size', /negative/],
  [21, 'size 0', size('0'), '13:53', 'members[0].disk.size', /unit is missing/],
  [21, 'size 0G', size('0G'), '13:53', 'members[0].disk.size', /at least 256MiB/],
  [21, 'size 9999PiB', size('9999PiB'), '13:53', 'members[0].disk.size', /larger than any disk/],
  [21, 'size 99TiB', size('99TiB'), '13:53', 'members[0].disk.size', /at most 16TiB/],
  [21, 'size 300000001B', size('300000001B'), '13:53', 'members[0].disk.size', /multiple of 4096.*292972KiB/],
  [21, 'size 255MiB', size('255MiB'), '13:53', 'members[0].disk.size', /at least 256MiB/],
]

const plain = (inside: string) => link(`{ plain: { ${inside} } }`)
const portPath = 'members[0].link.plain.port'

// biome-ignore format: one case, one line
const links: readonly Case[] = [
  [19, 'port 0', plain('port: 0'), '14:28', portPath, /0 is out of range: at least 1/],
  [19, 'port -1', plain('port: -1'), '14:28', portPath, /-1 is out of range: at least 1/],
  [19, 'port 65536', plain('port: 65536'), '14:28', portPath, /65536 is out of range: at most 65535/],
  [19, 'port as text', plain('port: "10809"'), '14:28', portPath, /remove the quotes/],
  [19, 'port in hex', plain('port: 0x2A39'), '14:28', portPath, /plain decimal/],
  [19, 'port of ssh', plain('port: 22'), '14:28', portPath, /port of SSH/],
  [19, 'port of ssh_config', ssh('host:0'), '12:10', 'members[0].ssh', /1 to 65535/],
  [23, 'octal port', plain('port: 022'), '14:28', portPath, /plain decimal/],
  [24, 'port with fraction', plain('port: 10.5'), '14:28', portPath, /whole number/],
  [40, 'open to IPv4', plain('clients: [0.0.0.0/0]'), '14:32', 'members[0].link.plain.clients[0]', /whole internet/],
  [40, 'open to IPv6', plain("clients: ['::/0']"), '14:32', 'members[0].link.plain.clients[0]', /whole internet/],
  [40, 'bad CIDR', plain('clients: [10.0.0.0/33]'), '14:32', 'members[0].link.plain.clients[0]', /1 to 32/],
  [40, 'host bits', plain('clients: [10.1.2.3/8]'), '14:32', 'members[0].link.plain.clients[0]', /10\.0\.0\.0\/8/],
  [40, 'no address', plain('clients: [home]'), '14:32', 'members[0].link.plain.clients[0]', /not an IP address/],
  [41, 'every interface', plain('address: 0.0.0.0'), '14:31', 'members[0].link.plain.address', /no authentication/],
  [41, 'every interface, IPv6', plain("address: '::'"), '14:31', 'members[0].link.plain.address', /no authentication/],
  [42, 'no such kind', link('openvpn'), '14:11', 'members[0].link', /is not one of ssh, tls, wireguard, ipsec, plain/],
  [42, 'unknown key in tls', link('{ tls: { ca: x } }'), '14:20', 'members[0].link.tls.ca', /unknown key/],
  [42, 'two kinds', link('{ tls: {}, plain: {} }'), '14:11', 'members[0].link', /exactly one kind/],
  [42, 'no kind', link('{}'), '14:11', 'members[0].link', /names no kind/],
]

// biome-ignore format: one case, one line
const values: readonly Case[] = [
  [23, 'yes as a boolean', withLine('allow_same_provider: yes'), '3:22', 'allow_same_provider', /true or false/],
  [23, 'no as a boolean', withLine('allow_same_provider: no'), '3:22', 'allow_same_provider', /true or false/],
  [23, 'true as a name', vault('true'), '2:8', 'vault', /put it in quotes/],
  [23, 'sexagesimal', patience('1:30'), '15:15', 'members[0].patience', /clock notation/],
  [24, 'number for a text', vault('123'), '2:8', 'vault', /put it in quotes/],
  [24, 'null for a block', change('mirror: raid1', ''), '5:1', 'filesystem', /no value/],
  [24, 'list for a scalar', vault('[photos]'), '2:8', 'vault', /a text, and is a list/],
  [24, 'scalar for a block', change('mount:\n  at: /vault/photos', 'mount: /vault/photos'), '3:8', 'mount', /a block of keys, and is a text/],
  [24, 'block for a list', change('members:\n', 'members:\n  x: 1\n').split('  - name')[0] ?? '', '10:3', 'members', /a list, and is a block/],
  [25, 'patience 0', patience('0s'), '15:15', 'members[0].patience', /wait for ever/],
  [25, 'patience negative', patience('-1s'), '15:15', 'members[0].patience', /without a sign/],
  [25, 'patience in words', patience('5 minutes'), '15:15', 'members[0].patience', /write 5m/],
  [25, 'patience over a day', patience('25h'), '15:15', 'members[0].patience', /longer than a day/],
  [25, 'patience without unit', patience('30'), '15:15', 'members[0].patience', /write 30s/],
  [26, 'mount /', mountAt('/'), '4:7', 'mount.at', /root of this machine/],
  [26, 'mount /home', mountAt('/home'), '4:7', 'mount.at', /hide everything/],
  [26, 'mount /etc', mountAt('/etc'), '4:7', 'mount.at', /lies in \/etc/],
  [26, 'mount below /usr', mountAt('/usr/local/vault'), '4:7', 'mount.at', /lies in \/usr/],
  [26, 'mount relative', mountAt('vault'), '4:7', 'mount.at', /absolute/],
  [26, 'mount ..', mountAt('/vault/../etc'), '4:7', 'mount.at', /\.\. parts/],
  [26, 'owner', mountAt('/vault\n  owner: "0;x"'), '5:10', 'mount.owner', /user name/],
  [27, 'mount options', change('at:', 'options: nodatacow\n  at:'), '4:3', 'mount.options', /break a promise/],
  [28, 'checksum md5', filesystem('checksum: md5'), '6:13', 'filesystem.checksum', /one of blake2, sha256/],
  [28, 'checksum typo', filesystem('checksum: blake'), '6:13', 'filesystem.checksum', /did you mean blake2/],
  [29, 'cipher', change('passphrase:', 'cipher: cipher_null-ecb\n  passphrase:'), '8:3', 'unlock.cipher', /always LUKS2/],
  [30, 'raid5', filesystem('mirror: raid5'), '6:11', 'filesystem.mirror', /not offered/],
  [30, 'raid1c3 with two', filesystem('mirror: raid1c3'), '6:11', 'filesystem.mirror', /needs 3 members, and there are 2/],
  [30, 'raid10 with two', filesystem('mirror: raid10'), '6:11', 'filesystem.mirror', /needs 4 members/],
  [30, 'raid1 with one', sound.slice(0, sound.indexOf('  - name: gra')), '6:11', 'filesystem.mirror', /needs 2 members, and there is one/],
  [31, 'inline passphrase', passphrase('passphrase: hunter2'), '8:15', 'unlock.passphrase', /secrets do not belong/],
  [31, 'inline at the root', withLine('passphrase: hunter2'), '3:1', 'passphrase', /secrets do not belong/],
  [31, 'two sources', passphrase('passphrase: { prompt: true, file: /root/x }'), '8:15', 'unlock.passphrase', /exactly one source/],
  [31, 'no source', passphrase('passphrase: {}'), '8:15', 'unlock.passphrase', /no source/],
  [31, 'command as a line', passphrase('passphrase: { command: pass show hunter2 }'), '8:26', 'unlock.passphrase.command', /must be a list/],
  [32, 'secret file relative', passphrase('passphrase: { file: photos.pass }'), '8:23', 'unlock.passphrase.file', /absolute/],
  [33, 'secret from the environment', passphrase('passphrase: { env: HUNTER2 }'), '8:17', 'unlock.passphrase.env', /unknown key/],
  [35, 'state directory', withLine('state_dir: /tmp/x'), '3:1', 'state_dir', /not a setting/],
  [37, 'host key MD5', pin(`MD5:${'aa:'.repeat(15)}aa`), '14:15', 'members[0].host_key', /MD5 fingerprints can be forged/],
  [37, 'host key without prefix', pin('A'.repeat(43)), '14:15', 'members[0].host_key', /prefix SHA256: is missing/],
  [37, 'host key cut off', pin('SHA256:9vN0…'), '14:15', 'members[0].host_key', /cut off/],
  [37, 'host key mistyped', pin(`SHA256:${'A'.repeat(42)}B`), '14:15', 'members[0].host_key', /copied wrongly/],
  [37, 'host key itself', pin('ssh-ed25519 AAAAC3Nz'), '14:15', 'members[0].host_key', /this is the key/],
  [37, 'host key DSA', pin('ssh-dss AAAAB3Nz'), '14:15', 'members[0].host_key', /DSA/],
  [39, 'identity', change('link: ssh', 'identity_file: ~/.ssh/x'), '14:5', 'members[0].identity_file', /ssh\/config/],
  [43, 'header', withLine('header: /vault/photos/h'), '3:1', 'header', /stay on this machine/],
  [43, 'passphrase inside the vault', passphrase('passphrase: { file: /vault/photos/pass }'), '8:23', 'unlock.passphrase.file', /inside the vault/],
]

// Not of a profile's text, and where they are tested:
//  2 broken UTF-8, BOM, CRLF; 3 FIFO, directory, /dev/zero, 1 MiB; 36 owner and mode: load.test.ts
// 22 sizes, 28 crc32c: warnings, load.test.ts · 45 unknown vault, glob: find.test.ts; --confirm: with the verbs
// 32 mode and owner of a secret file, 34 secret command: test/unit/keyring · 35 state directory: test/unit/record
// 26 mount point not empty, mounted, a link: with stack/mount · 38 host key differs: with host/ssh and in the lab

const all = [...document, ...names, ...disks, ...links, ...values]

describe('bad profiles', () => {
  it('start from a sound one', () => {
    expect(parseProfile(sound, 'sound.yaml').warnings).toEqual([])
  })

  it.each(all)('D3 #%i: %s', (_, __, text, at, path, reason) => {
    const faults = faultsOf(text)
    const fault = faults.find((candidate) => candidate.path === path)
    expect(fault, `faults at ${faults.map((f) => f.path).join(', ')}`).toBeDefined()
    expect(`${fault?.line}:${fault?.column}`).toBe(at)
    expect(fault?.message).toMatch(reason)
  })

  it('never repeat what could be a secret', () => {
    for (const [, , text] of all.filter(([number]) => number === 31 || number === 33))
      expect(JSON.stringify(faultsOf(text))).not.toMatch(/hunter2/i)
    for (const text of [
      passphrase('passphrase: {hunter2}'),
      passphrase('passphrase: [hunter2]'),
      passphrase('passphrase: { prompt: hunter2 }'),
      passphrase('passphrase: { file: "hunter2" }'),
      passphrase('passphrase: { credential: "hunter2 !" }'),
      passphrase('password: hunter2'),
      passphrase('passphrase: "hunter2'),
      passphrase('passphrase: !hunter2 x'),
      passphrase('passphrase: @hunter2'),
      ssh('root:hunter2@host'),
      'hunter2\n',
    ]) {
      const faults = faultsOf(text)
      expect(faults.length, text).toBeGreaterThan(0)
      expect(JSON.stringify(faults), text).not.toMatch(/hunter2/i)
    }
  })

  it('say what is allowed, with an example that is accepted', () => {
    const [fault] = faultsOf(size('10GB'))
    expect(fault?.allowed).toMatch(/KiB, MiB, GiB or TiB/)
    expect(fault?.example).toBe('size: 100GiB')
  })
})
