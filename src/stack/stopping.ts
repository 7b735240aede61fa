import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from '../host/host.ts'
import { type Holder, holdersOf, mountsInside } from './holders.ts'

/**
 * What still works in the vault when the machine goes down. Services are being ended by systemd at this very moment
 * and are waited for; whatever systemd does not end (what a closed login left behind) is ended here, as systemd itself
 * would do it a little later: then the vault would be gone under it.
 */

/** systemd gives a service 90 s to end unless its unit says otherwise, and then kills it. */
const patienceSeconds = 120
/** Between the request to end and the end. */
const graceSeconds = 10
/** Between two files even a busy program holds nothing: free is what is found free this often in a row. */
const free = 10
const pauseMs = 200

/**
 * Returns when nothing holds the mount any more, or nobody can be made to let go. Does nothing unless the machine is
 * going down.
 */
export const clearForShutdown = async (
  local: Host,
  at: string,
  say: (line: string) => void,
): Promise<void> => {
  const state = await local.run({ argv: ['systemctl', 'is-system-running'] })
  if (state.stdout.trim() !== 'stopping') return
  const asked = new Map<number, number>()
  const began = performance.now()
  const seconds = (): number => (performance.now() - began) / 1000
  for (let seen = 0; seconds() < patienceSeconds && seen < free; ) {
    const holders = await holdersOf(at)
    const inside = mountsInside(await readFile('/proc/self/mountinfo', 'utf8'), at)
    seen = holders.length === 0 && inside.length === 0 ? seen + 1 : 0
    for (const holder of holders) {
      const since = asked.get(holder.pid)
      if (since === undefined && (await isBeingStopped(local, holder))) continue
      if (since === undefined) {
        say(`ending pid ${holder.pid} ${holder.command}: ${holder.what}`)
        asked.set(holder.pid, seconds())
        await end(holder.pid, 'SIGTERM')
      } else if (seconds() - since >= graceSeconds) await end(holder.pid, 'SIGKILL')
    }
    await sleep(pauseMs)
  }
}

/** Its unit is stopping, or has its turn to stop still before it. */
const isBeingStopped = async (local: Host, { pid }: Holder): Promise<boolean> => {
  const unit = unitOf(await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => ''))
  if (unit === null) return false
  const { stdout } = await local.run({
    argv: ['systemctl', 'show', '--property=ActiveState', '--property=Job', unit],
  })
  return /^ActiveState=deactivating$/m.test(stdout) || /^Job=[1-9]/m.test(stdout)
}

/** The innermost service or scope of a /proc/PID/cgroup. */
export const unitOf = (cgroup: string): string | null => {
  const line = cgroup.split('\n').find((entry) => /^(0::|\d+:name=systemd:)/.test(entry)) ?? ''
  const units = line.split('/').filter((part) => /\.(service|scope)$/.test(part))
  return units.at(-1) ?? null
}

/** Its whole process group, as on Ctrl-C: a script would go on with the next command. */
const end = async (pid: number, how: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
  const group = groupOf(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''))
  try {
    process.kill(group === null ? pid : -group, how)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // gone already
  }
}

/** Of a /proc/PID/stat: the command before it is in parentheses and may hold anything. */
export const groupOf = (stat: string): number | null => {
  const group = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2])
  return group > 1 ? group : null
}
