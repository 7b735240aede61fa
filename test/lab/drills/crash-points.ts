import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import path from 'node:path'
import type { Lab, LabServer } from '../../../lab/index.ts'
import { behave } from './hostile.ts'

/**
 * Every flush of one member as a moment at which the power may go: a log of all its writes is played back to each such
 * moment, and the disk as it was then is opened alone, with header and key from the client.
 */

const disk = '/srv/cloudvault/photos.img'
const log = '/srv/hostile/log'
const inside = (server: LabServer, file: string): string => path.join(server.root, file)

/** Without its holes, a disk of half a gigabyte would be written fifty times over. */
const copySparse = (from: string, to: string): unknown =>
  execFileSync('cp', ['--sparse=always', '--reflink=auto', from, to])

/** Beginning with the vault down: the disk as it is now is kept, and every write from the next `up` on is logged. */
export const logWrites = (lab: Lab, server: LabServer): void => {
  copySparse(inside(server, disk), path.join(lab.dir, 'played.img'))
  behave(server, { log })
}

/** One write of the log, or the moment after a flush. */
interface Entry {
  readonly flush: boolean
  readonly offset: number
  readonly length: number
  /** Milliseconds since 1970, of this machine's clock, which is the client's too. */
  readonly at: number
  /** Where its bytes lie in the log. */
  readonly bytes: number
}

const readLog = (fd: number): Entry[] => {
  const entries: Entry[] = []
  const head = Buffer.alloc(32)
  for (let position = 0; readSync(fd, head, 0, 32, position) === 32; ) {
    const length = Number(head.readBigUInt64BE(16))
    entries.push({
      flush: head.readUInt32BE(0) === 2,
      offset: Number(head.readBigUInt64BE(8)),
      length,
      at: Number(head.readBigUInt64BE(24)),
      bytes: position + 32,
    })
    position += 32 + length
  }
  return entries
}

/** Indexes of flushes with something new before them, at most so many, evenly chosen; the last one is among them. */
export const chosenPoints = (entries: readonly Pick<Entry, 'flush'>[], most: number): number[] => {
  const all = entries.flatMap((entry, index) =>
    entry.flush && entries[index - 1]?.flush === false ? index : [],
  )
  const step = Math.max(1, all.length / most)
  return [
    ...new Set(
      Array.from(
        { length: Math.min(most, all.length) },
        (_, n) => all[all.length - 1 - Math.floor(n * step)] ?? 0,
      ),
    ),
  ].sort((a, b) => a - b)
}

/**
 * Plays the log back and stops at each point.
 * @param look gets the disk as it was (a file of this machine, its own to change) and when that was
 * @returns how many flushes there were, and how many points were looked at
 */
export const playBack = async (
  lab: Lab,
  server: LabServer,
  most: number,
  look: (image: string, at: number) => Promise<void>,
): Promise<{ readonly flushes: number; readonly points: number }> => {
  const source = openSync(inside(server, log), 'r')
  const played = path.join(lab.dir, 'played.img')
  const target = openSync(played, 'r+')
  try {
    const entries = readLog(source)
    const points = chosenPoints(entries, most)
    let next = 0
    for (const point of points) {
      for (; next <= point; next++) {
        const { flush, offset, length, bytes } = entries[next] as Entry
        if (flush) continue
        const data = Buffer.alloc(length)
        readSync(source, data, 0, length, bytes)
        writeSync(target, data, 0, length, offset)
      }
      // A name of its own: the client would go on seeing what it remembers of an older file.
      const image = path.join(lab.dir, `point-${point}.img`)
      copySparse(played, image)
      await look(image, (entries[point] as Entry).at)
      rmSync(image)
    }
    return { flushes: entries.filter((entry) => entry.flush).length, points: points.length }
  } finally {
    closeSync(source)
    closeSync(target)
  }
}

/** A heavy day: files named by their own hash, fsynced under another name, renamed, fsynced again; some deleted; whole commits. */
export const heavyDay = `mkdir -p /vault/photos/day && cd /vault/photos/day && rm -f /tmp/day; i=0
(while [ ! -e /tmp/evening ]; do cp -r /usr/share/doc ../noise && rm -r ../noise; done) & noise=$!
while [ ! -e /tmp/evening ] && [ $i -lt 3000 ]; do
  i=$((i+1)); dd if=/dev/urandom of=.new bs=1k count=$((1 + i * 37 % 300)) conv=fsync status=none || exit 1
  name=$(sha256sum < .new); name=\${name%% *}; mv .new $name && sync $name || exit 1
  echo "kept $name $(date +%s%3N)" >> /tmp/day
  [ $((i % 5)) = 0 ] && { old=$(ls | head -n 1); echo "gone $old $(date +%s%3N)" >> /tmp/day; rm $old; }
  [ $((i % 9)) = 0 ] && sync -f .
done; wait $noise; echo $i`

/** Hashes of the files that were durable at a moment: fsynced well before it, and not deleted until well after. */
export const durableAt = (day: string, at: number): string[] => {
  const margin = 1500
  const told = day.split('\n').map((line) => line.split(' '))
  const times = (word: string) =>
    new Map(told.filter(([what]) => what === word).map(([, name = '', ms]) => [name, Number(ms)]))
  const gone = times('gone')
  return [...times('kept')].filter(([name, ms]) => ms < at - margin && !gone.has(name)).map(([name]) => name)
}

/** The vault key, by the recovery runbook's own way. */
export const dumpKey = `umask 077; cryptsetup luksDump --batch-mode --dump-volume-key --key-file=/root/photos.pass /var/lib/cloudvault/photos/keys.luks |
  sed -n '/MK dump:/,$p' | sed 's/MK dump://' | tr -d ' \\t\\n' | tr a-f A-F | basenc --base16 --decode > /dev/shm/point.key
modprobe loop; modprobe xts; modprobe dm-crypt; mkdir -p /mnt/point`

/** Opens gra's disk of one moment alone: checked, mounted (which replays the log of fsyncs), every named file read. */
export const openPoint = `loop=$(losetup --find --show "$1") || exit 1
cryptsetup open --type luks2 --header /var/lib/cloudvault/photos/headers/gra.luks --key-file /dev/shm/point.key $loop point || exit 1
btrfs check --readonly /dev/mapper/point > /tmp/check 2>&1 || { cat /tmp/check; exit 1; }
mount -t btrfs -o ro,degraded /dev/mapper/point /mnt/point || { dmesg | tail; exit 1; }
[ ! -d /mnt/point/day ] || (cd /mnt/point/day && ls | grep -v '^.new$' | while read name; do echo "$name  $name"; done > /tmp/have && { [ ! -s /tmp/have ] || sha256sum -c --quiet /tmp/have; }) || exit 1
for name in $(cat); do [ -e /mnt/point/day/$name ] || { echo "lost: $name"; exit 1; }; done
umount /mnt/point && cryptsetup close point && losetup -d $loop && btrfs device scan --forget`
