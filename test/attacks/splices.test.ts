import { copyFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { expect } from 'vitest'
import type { LabServer } from '../../lab/index.ts'
import { soloGone, soloVault } from '../lab/drills/solo.ts'
import { everyFileIsRight, status, verdictBecomes } from '../lab/drills/work.ts'
import { labProfile, useLab, verb } from '../lab/support.ts'
import { attack } from './attack.ts'
import { spliceDisk } from './splice.ts'

/**
 * A provider that knows two contents that once stood at one address: a distribution's files, say, and their update. It
 * looks at plain text here only to find the addresses, which a real one gets from watching which blocks are written.
 */
const lab = useLab({ servers: 2 })
const mebibytes = 80

/**
 * Writes a known file over what another known file had, and splices the disk of one server in between.
 * @returns blocks spliced, units rolled back
 */
const attackVault = async (vault: string, server: LabServer) => {
  const { client } = lab()
  const disk = path.join(server.root, `/srv/cloudvault/${vault}.img`)
  const kept = (name: string) => path.join(lab().dir, name)
  const picture = async (which: 'old' | 'fresh') => {
    await copyFile(disk, kept(`${which}.cipher`))
    const plain = client.hostPath(kept(`${which}.plain`))
    await client.run(
      `echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/mapper/cv-${vault}-${server.name} of=${plain} bs=1M status=none`,
      { deadlineMs: 300_000 },
    )
  }
  const write = async (which: 'old' | 'fresh') => {
    await client.run(
      `rm -f /vault/${vault}/known; btrfs filesystem sync /vault/${vault}; sleep 1; btrfs filesystem sync /vault/${vault}
       dd if=/dev/urandom of=/root/${which} bs=1M count=${mebibytes} status=none && cp /root/${which} ${client.hostPath(kept(which))}
       cp /root/${which} /vault/${vault}/known && btrfs filesystem sync /vault/${vault}`,
      { deadlineMs: 600_000 },
    )
    await picture(which)
  }
  await write('old')
  await write('fresh')
  await verb(lab(), ['down', vault])
  const known = {
    oldCipher: kept('old.cipher'),
    oldPlain: kept('old.plain'),
    freshPlain: kept('fresh.plain'),
    oldFile: kept('old'),
    freshFile: kept('fresh'),
  }
  const done = spliceDisk(disk, known, 2000)
  for (const name of ['old', 'fresh', 'old.plain', 'fresh.plain', 'old.cipher', 'fresh.cipher'])
    await rm(kept(name), { force: true })
  expect(done.blocks).toBeGreaterThan(100)
  return done
}

/** Compares the known file block by block with what was written: right, wrong, or an I/O error. */
const compare = `use strict; my ($right, $wrong, $errors) = (0, 0, 0);
open(my $a, '<', '/root/fresh') or die; open(my $b, '<', $ARGV[0]) or die;
for (my $at = 0; $at < ${mebibytes} << 20; $at += 4096) {
  sysseek($a, $at, 0); sysread($a, my $x, 4096); sysseek($b, $at, 0); my $n = sysread($b, my $y, 4096);
  if (!defined $n) { $errors++ } elsif ($x ne $y) { $wrong++ } else { $right++ }
} print "$right $wrong $errors\\n"`

const read = async (vault: string) => {
  const script = 'echo 3 > /proc/sys/vm/drop_caches; perl -e "$1" "$2"'
  const words = ['sh', '-c', script, 'sh', compare, `/vault/${vault}/known`]
  const { stdout } = await lab().client.run(words, { deadlineMs: 600_000 })
  const [right = 0, wrong = 0, errors = 0] = stdout.trim().split(' ').map(Number)
  return { right, wrong, errors }
}

/** The seed recipe's choice: what the provider put there is handed out as if it were right. */
const withCrc = async (): Promise<string> => {
  const server = lab().server('fsn')
  await soloVault(lab(), server, { size: '256MiB', filesystem: 'checksum: crc32c, compress: "off"' })
  const { blocks, rolledBack } = await attackVault('solo', server)
  await verb(lab(), ['up', 'solo'])
  const met = await read('solo')
  expect(met.errors).toBe(0)
  expect(met.wrong).toBe(blocks)
  const scrubbed = JSON.parse((await verb(lab(), ['scrub', 'solo', '--json'])).stdout)
  expect(scrubbed).toMatchObject({ corrected: 0, uncorrectable: 0 })
  await soloGone(lab())
  return `crc32c: ${blocks} blocks spliced (${Math.round(rolledBack / blocks)} of 256 units each), all ${met.wrong} handed out wrong, no error, scrub clean`
}

const withBlake = async (): Promise<string> => {
  await labProfile(lab(), { size: '256MiB', changes: [['compress: zstd:3 ', 'compress: "off" ']] })
  await verb(lab(), ['provision', 'photos'])
  await verb(lab(), ['create', 'photos', '--confirm', 'photos'])
  await verb(lab(), ['up', 'photos'])
  const { blocks } = await attackVault('photos', lab().server('gra'))
  await verb(lab(), ['up', 'photos'])
  // Which mirror the kernel asks depends on the process that reads.
  let corruption = 0
  for (let round = 0; round < 12 && corruption === 0; round++) {
    expect(await read('photos')).toEqual({ right: mebibytes * 256, wrong: 0, errors: 0 })
    corruption = (await status(lab())).members.find(({ name }) => name === 'gra')?.errors?.corruption ?? 0
  }
  expect(corruption).toBeGreaterThan(0)
  await verb(lab(), ['status', 'photos', '--check'], 8)
  const scrubbed = JSON.parse((await verb(lab(), ['scrub', 'photos', '--json'])).stdout)
  expect(scrubbed.uncorrectable).toBe(0)
  await lab().client.run('sha256sum /vault/photos/known > /tmp/sums')
  await everyFileIsRight(lab())
  await verdictBecomes(lab(), 'healthy', 120)
  await verb(lab(), ['down', 'photos'])
  return `blake2 with a mirror: ${blocks} blocks spliced, every block read right, ${corruption + Number(scrubbed.corrected)} counted and mended, exit 8 from status --check until then`
}

attack(12, lab, async () => `${await withCrc()}; ${await withBlake()}`, 2_400_000)
