import { commandFailed } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'

/**
 * Is there nothing on a disk? Reading all of it over the network would take hours, so the places are read where
 * something would be: the first and the last 4 MiB (any vault's superblock lies in the first), and a sample between.
 */

const edgeBytes = 4 * 1024 * 1024
const sampleBytes = 64 * 1024
const samples = 32

/** All places in one program; cmp's exit codes: 1 differs, 2 could not be read. */
const compare = `device=$1; shift
while [ $# -gt 0 ]; do
  cmp --silent --ignore-initial="$1:0" --bytes="$2" "$device" /dev/zero
  code=$?
  [ $code -eq 0 ] || { echo "$1"; exit $code; }
  shift 2
done`

/** @throws Fault 7 when any byte that was looked at is not zero */
export const checkBlank = async (
  local: Host,
  device: string,
  sizeBytes: number,
  member: string,
): Promise<void> => {
  const last = Math.max(0, sizeBytes - edgeBytes)
  const step = Math.max(sampleBytes, Math.floor(sizeBytes / samples / 4096) * 4096)
  const places = [
    { from: 0, bytes: Math.min(edgeBytes, sizeBytes) },
    { from: last, bytes: sizeBytes - last },
    ...Array.from({ length: samples }, (_, index) => ({ from: index * step, bytes: sampleBytes })).filter(
      ({ from }) => from + sampleBytes <= sizeBytes,
    ),
  ]
  const argv = [
    'sh',
    '-c',
    compare,
    'blank',
    device,
    ...places.flatMap(({ from, bytes }) => [`${from}`, `${bytes}`]),
  ]
  const output = await local.run({ argv, deadline: 300_000 })
  if (output.code === 0) return
  const from = /^\d+$/m.exec(output.stdout)?.[0]
  if (output.code !== 1 || from === undefined)
    throw commandFailed(local.name, ['cmp', device, '/dev/zero'], output)
  throw new Fault(Exit.decide, `the disk of ${member} is not blank (bytes from ${from} on are in use)`, {
    member,
    stands: 'nothing was written to it',
    next: 'if it really may be lost, remove it on the server (cloudvault unprovision, then provision)',
  })
}
