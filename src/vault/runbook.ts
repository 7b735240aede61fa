import { shellLine } from '../host/quote.ts'
import { linkFiles } from '../keyring/link-keys.ts'
import { farSide, mapperPath, memberId } from '../names.ts'
import type { Member, Profile } from '../profile/profile.ts'

/**
 * The vault by hand: if cloudvault itself vanished, these commands open it with nbd-client, cryptsetup and mount
 * alone. Written into every recovery kit.
 */

/** Local ports of the tunnels: high enough not to meet anything. */
const firstPort = 40809

/** @param folder where keys.luks and headers/ lie, as seen by the person who types the commands */
export const runbook = (profile: Profile, folder: string): string => {
  const { vault, members, mount } = profile
  const key = `/dev/shm/${vault}.key`
  const options = ['noatime', 'nosuid', 'nodev', ...members.map((m) => `device=${mapperPath(vault, m.name)}`)]
  const lines = [
    `# Opening "${vault}" by hand, as root, on a Linux machine with: nbd-client, cryptsetup, btrfs-progs, openssh-client`,
    `# ${folder} holds keys.luks and headers/ from the recovery kit. The user on the servers is root too.`,
    '',
    '# 1. The vault key, from the passphrase (64 bytes, in memory only, for root only)',
    'umask 077',
    `read -r -s -p "passphrase of ${vault}: " P`,
    // No tool gets the key as an argument: arguments are for everybody to read.
    `printf %s "$P" | cryptsetup luksDump --batch-mode --dump-volume-key --key-file=- ${folder}/keys.luks | sed -n '/MK dump:/,$p' | sed 's/MK dump://' | tr -d ' \\t\\n' | tr a-f A-F | basenc --base16 --decode > ${key}; unset P`,
    '',
    'modprobe nbd max_part=0',
    ...members.flatMap((member, index) => memberLines(profile, member, index, folder)),
    '',
    '# 3. The filesystem',
    shellLine(['mkdir', '-p', mount.at]),
    shellLine([
      ...['mount', '-t', 'btrfs', '-o', options.join(',')],
      ...[mapperPath(vault, members[0]?.name ?? ''), mount.at],
    ]),
    `shred -u ${key}`,
    '',
    '# One member lost? Leave its lines out and add ",ro,degraded,rescue=nologreplay" to the options.',
    '# Closing:',
    shellLine(['umount', mount.at]),
    ...members.flatMap((member, index) => closingLines(profile, member, index)),
  ]
  return `${lines.join('\n')}\n`
}

const memberLines = (profile: Profile, member: Member, index: number, folder: string): string[] => {
  const id = memberId(profile.vault, member.name)
  const port = firstPort + index
  const device = `/dev/nbd${index}`
  const header = `${folder}/headers/${member.name}.luks`
  const key = `/dev/shm/${profile.vault}.key`
  return [
    '',
    `# 2.${index + 1} ${member.name} (${member.provider}): serve the disk on the server's loopback, tunnel, attach, open`,
    `ssh ${member.ssh} ${shellLine([`systemctl stop ${unitsOf(profile.vault, member)}; ${serveLine(member, id, port)}`])}`,
    shellLine([
      ...['ssh', '-M', '-S', tunnelSocket(id), '-f', '-N'],
      ...['-L', `127.0.0.1:${port}:127.0.0.1:${port}`, member.ssh],
    ]),
    shellLine([
      ...['nbd-client', '127.0.0.1', `${port}`, device],
      ...(member.server === 'nbd-server' ? ['-N', id] : []),
      ...['-block-size', '4096', '-timeout', '60'],
    ]),
    shellLine([
      ...['cryptsetup', 'open', '--type', 'luks2', '--header', header, `--key-file=${key}`, device, id],
    ]),
  ]
}

const unitsOf = (vault: string, member: Member): string => {
  const { unit, link } = farSide(vault, member.name)
  return linkFiles(member.link).length > 0 ? `${link} ${unit}` : unit
}

const tunnelSocket = (id: string): string => `/run/${id}-by-hand.sock`
const pidFile = (id: string): string => `/run/${id}-by-hand.pid`

/** nbd-server started without a configuration offers no flush, and then fsync means nothing; nbdkit offers it by itself. */
const serveLine = (member: Member, id: string, port: number): string => {
  const disk = member.disk.path
  if (member.server === 'nbdkit')
    return shellLine([
      'nbdkit',
      '--ipaddr=127.0.0.1',
      `--port=${port}`,
      `--pidfile=${pidFile(id)}`,
      'file',
      disk,
    ])
  const config = [
    ...['[generic]', 'listenaddr = 127.0.0.1', `port = ${port}`],
    ...[`[${id}]`, `exportname = ${disk}`, 'flush = true', 'fua = true'],
  ]
  const file = `/run/${id}-by-hand.conf`
  return `${shellLine(['printf', '%s\\n', ...config])} > ${file}; ${shellLine(['nbd-server', '-C', file, '-p', pidFile(id)])}`
}

const closingLines = (profile: Profile, member: Member, index: number): string[] => {
  const id = memberId(profile.vault, member.name)
  return [
    shellLine(['cryptsetup', 'close', id]),
    shellLine(['nbd-client', '-d', `/dev/nbd${index}`]),
    shellLine(['ssh', '-S', tunnelSocket(id), '-O', 'exit', member.ssh]),
    `ssh ${member.ssh} ${shellLine([`kill $(cat ${pidFile(id)})`])}`,
  ]
}
