import { shellLine } from '../host/quote.ts'
import { mapperPath, memberId } from '../names.ts'
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
  const lines = [
    `# Opening "${vault}" by hand, as root, on a Linux machine with: nbd-client, cryptsetup, btrfs-progs, openssh-client`,
    `# ${folder} holds keys.luks and headers/ from the recovery kit.`,
    '',
    '# 1. The vault key, from the passphrase (64 bytes, kept in memory only)',
    `read -r -s -p "passphrase of ${vault}: " P`,
    `printf %s "$P" | cryptsetup luksDump --batch-mode --dump-volume-key --key-file=- ${folder}/keys.luks | sed -n '/MK dump:/,$p' | sed 's/MK dump://' | tr -d ' \\t\\n' | sed 's/../\\\\x&/g' | xargs -0 printf '%b' > /dev/shm/${vault}.key; unset P`,
    '',
    'modprobe nbd max_part=0',
    ...members.flatMap((member, index) => memberLines(profile, member, index, folder)),
    '',
    '# 3. The filesystem',
    shellLine(['mkdir', '-p', mount.at]),
    shellLine([
      ...[
        'mount',
        '-t',
        'btrfs',
        '-o',
        ['noatime', 'nosuid', 'nodev', ...members.map((m) => `device=${mapperPath(vault, m.name)}`)].join(
          ',',
        ),
      ],
      ...[mapperPath(vault, members[0]?.name ?? ''), mount.at],
    ]),
    `shred -u /dev/shm/${vault}.key`,
    '',
    '# One member lost? Leave its lines out and add ",ro,degraded" to the options.',
    '# Closing:',
    shellLine(['umount', mount.at]),
    ...members.flatMap((member, index) => [
      shellLine(['cryptsetup', 'close', memberId(vault, member.name)]),
      shellLine(['nbd-client', '-d', `/dev/nbd${index}`]),
    ]),
  ]
  return `${lines.join('\n')}\n`
}

const memberLines = (profile: Profile, member: Member, index: number, folder: string): string[] => {
  const id = memberId(profile.vault, member.name)
  const port = firstPort + index
  const disk = member.disk.path
  return [
    '',
    `# 2.${index + 1} ${member.name} (${member.provider}): serve the disk on the server's loopback, tunnel, attach, open`,
    `ssh ${member.ssh} ${shellLine([`systemctl stop ${id}.service; nbd-server 127.0.0.1:${port} ${shellLine([disk])} -C /dev/null`])}`,
    shellLine(['ssh', '-f', '-N', '-L', `127.0.0.1:${port}:127.0.0.1:${port}`, member.ssh]),
    shellLine([
      'nbd-client',
      '127.0.0.1',
      `${port}`,
      `/dev/nbd${index}`,
      '-block-size',
      '4096',
      '-timeout',
      '60',
    ]),
    shellLine([
      'cryptsetup',
      'open',
      '--type',
      'luks2',
      '--header',
      `${folder}/headers/${member.name}.luks`,
      `--key-file=/dev/shm/${profile.vault}.key`,
      `/dev/nbd${index}`,
      id,
    ]),
  ]
}
