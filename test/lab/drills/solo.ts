import type { Lab, LabServer } from '../../../lab/index.ts'
import { canary, verb, writeProfile } from '../support.ts'

/** A second vault "solo" at /vault/solo, without a mirror, on one server of the lab: what only one provider has. */

export interface SoloOptions {
  readonly size?: string
  /** What the profile's block says. */
  readonly filesystem?: string
}

const profile = (server: LabServer, options: SoloOptions): string => `version: 1
vault: solo
mount: { at: /vault/solo }
filesystem: { mirror: single, ${options.filesystem ?? 'compress: zstd:3'} }
unlock:
  passphrase: { file: /root/photos.pass }
  kdf: { algorithm: pbkdf2, iterations: 1000 }
members:
  - name: ${server.name}
    provider: alone
    ssh: vps-${server.name}
    host_key: ${server.hostKeyFingerprint}
    disk: { file: /srv/cloudvault/solo.img, size: ${options.size ?? '512MiB'} }
    patience: 12s
`

/** Provisioned, created and up. */
export const soloVault = async (lab: Lab, server: LabServer, options: SoloOptions = {}): Promise<void> => {
  await lab.client.putFile('/root/photos.pass', canary, 0o600)
  await writeProfile(lab, profile(server, options), '/etc/cloudvault/solo.yaml')
  await verb(lab, ['provision', 'solo'])
  await verb(lab, ['create', 'solo', '--confirm', 'solo'])
  await verb(lab, ['up', 'solo'])
}

/** The same, with 40 files of 1 MiB whose originals lie in /root/originals. @returns how many */
export const soloUp = async (lab: Lab, server: LabServer): Promise<number> => {
  await soloVault(lab, server)
  await lab.client.run(`mkdir -p /root/originals && cd /root/originals && rm -f -- * &&
    for i in $(seq 40); do dd if=/dev/urandom of="a photo-$i" bs=1M count=1 status=none; done`)
  return 40
}

/** Copies the originals in, each with fsync. */
export const fillSolo = async (lab: Lab): Promise<void> => {
  await lab.client.run(
    'cd /root/originals && for f in *; do dd if="$f" of="/vault/solo/$f" bs=1M conv=fsync status=none; done',
  )
}

/** Down, and nothing of it left on client and server. */
export const soloGone = async (lab: Lab): Promise<void> => {
  await lab.client.cloudvault(['down', 'solo'])
  await verb(lab, ['unprovision', 'solo', '--confirm', 'solo'])
  await lab.client.run('rm -rf /etc/cloudvault/solo.yaml /var/lib/cloudvault/solo /root/originals')
}

export interface Readings {
  readonly right: number
  /** Paths that cannot be read whole. */
  readonly damaged: readonly string[]
  /** Blocks that were served and are not what was written: never. */
  readonly wrong: number
}

/** Reads every block of every file from the server: it is what was written, or an I/O error. */
const compare = `use strict; my ($right, $wrong) = (0, 0); my @bad;
for my $name (@ARGV) {
  open(my $a, '<', "/root/originals/$name") or die; my $b; my $hit = 0;
  if (!open($b, '<', "/vault/solo/$name")) { push @bad, $name; next }
  for (my $at = 0; $at < 1048576; $at += 4096) {
    sysseek($a, $at, 0); sysread($a, my $x, 4096);
    sysseek($b, $at, 0); my $n = sysread($b, my $y, 4096);
    if (!defined $n) { $hit = 1 } elsif ($x ne $y) { $wrong++ }
  }
  $hit ? push(@bad, $name) : $right++;
}
print "$right $wrong\\n", map { "/vault/solo/$_\\n" } @bad;`

/** Every file of the vault, block by block, past all caches. */
export const readSolo = async (lab: Lab): Promise<Readings> => {
  await lab.client.putFile('/root/compare.pl', compare)
  const script = 'echo 3 > /proc/sys/vm/drop_caches; cd /root/originals && perl /root/compare.pl *'
  const [counts = '', ...damaged] = (await lab.client.run(script, { deadlineMs: 300_000 })).stdout
    .trim()
    .split('\n')
  const [right = 0, wrong = 0] = counts.split(' ').map(Number)
  return { right, wrong, damaged: damaged.sort() }
}
