/**
 * Keeps the client's disk from standing still. On a busy host User-Mode Linux's block device now and then misses the
 * end of a request, and whoever waits for it (an fsync, say) waits until the next request comes, which on an idle
 * client may be minutes. A direct read of one block every few seconds is that next request. [Seen: two cloudvaults that
 * stood still for 250 s and more behind the fsync of their receipt, and went on the moment somebody logged in.]
 */
import { muxArgv, type Seated } from './client-boot.ts'
import { exec } from './exec.ts'

const everyMs = 5000
const read = 'dd if=/dev/ubda of=/dev/null bs=4096 count=1 iflag=direct status=none'

/** Begins; ends with this process, or when the returned function is called. A client that is off is left alone. */
export const keepDiskGoing = (state: Seated): (() => void) => {
  let busy = false
  const beat = async (): Promise<void> => {
    if (busy) return
    busy = true
    await exec([...muxArgv(state), read], { deadlineMs: 30_000, allowFail: true }).catch(() => {})
    busy = false
  }
  const timer = setInterval(() => void beat(), everyMs)
  timer.unref()
  return () => clearInterval(timer)
}
