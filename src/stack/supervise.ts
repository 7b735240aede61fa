import { readFile, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Action, Finding } from '../engine/step.ts'
import type { Host } from '../host/host.ts'
import { childOf, inGroup } from '../host/process.ts'
import { systemdRuns } from '../host/systemd.ts'

/**
 * Processes that must live on after cloudvault has ended (pumps, the monitor): transient units where systemd runs the
 * machine, daemons with a pid file where it does not. One interface, two makes; both are named after the vault, so
 * that they are found again without a receipt.
 */

export interface Supervisor {
  probe(name: string): Promise<Finding>
  /** Its program's process, while one runs. */
  pid(name: string): Promise<number | null>
  /** Starts a program that is started again whenever it ends. */
  start(name: string, argv: readonly string[]): readonly Action[]
  /** Asks it to end, and insists after a while. */
  stop(name: string): readonly Action[]
  /** Ends it at once, without its having a say. */
  kill(name: string): readonly Action[]
}

/** @param run directory for pid files and logs when there is no systemd */
export const supervisor = async (local: Host, run: string): Promise<Supervisor> =>
  (await systemdRuns()) ? systemdSupervisor(local) : daemonSupervisor(local, run)

/**
 * Without default dependencies systemd leaves it alone when the machine goes down, however late that `down` needs it;
 * and it can still be started then (the parking server of a member that turns silent at the last moment).
 */
const untouched = ['--property=DefaultDependencies=no', '--property=IgnoreOnIsolate=yes']

const systemdSupervisor = (local: Host): Supervisor => ({
  probe: async (name) => {
    const shown = await local.run({
      argv: ['systemctl', 'show', '--property=ActiveState', '--value', `${name}.service`],
    })
    const state = shown.stdout.trim()
    if (state === 'active' || state === 'activating') return { is: 'present' }
    return shown.code === 0 ? { is: 'absent' } : { is: 'unknown', why: shown.stderr.trim() }
  },
  pid: async (name) => {
    const shown = await local.run({
      argv: ['systemctl', 'show', '--property=MainPID', '--value', `${name}.service`],
    })
    return Number(shown.stdout) || null // 0: none
  },
  start: (name, argv) => [
    // A unit that failed earlier keeps its name until it is reset.
    { on: local, command: { argv: ['systemctl', 'reset-failed', `${name}.service`] }, ok: [0, 1, 5] },
    {
      on: local,
      command: {
        argv: [
          ...[
            'systemd-run',
            '--quiet',
            `--unit=${name}`,
            '--collect',
            '--property=Restart=always',
            '--property=RestartSec=1',
          ],
          ...untouched,
          `--description=cloudvault: ${name.replace(/^cv-/, '')}`,
          // Sockets and logs that it makes are root's alone.
          ...['--property=StartLimitIntervalSec=0', '--property=LimitCORE=0', '--property=UMask=0077'],
          ...['--', ...argv],
        ],
      },
    },
  ],
  stop: (name) => [
    // 5: not loaded, so it is stopped.
    { on: local, command: { argv: ['systemctl', 'stop', `${name}.service`], deadline: 30_000 }, ok: [0, 5] },
  ],
  kill: (name) => [
    {
      on: local,
      command: { argv: ['systemctl', 'kill', '--signal=KILL', `${name}.service`] },
      ok: [0, 1, 5],
    },
    { on: local, command: { argv: ['systemctl', 'stop', `${name}.service`], deadline: 30_000 }, ok: [0, 5] },
  ],
})

/**
 * Without systemd: a shell of its own session that starts the program again when it ends, until it is told to end. Then
 * it ends its whole group (`kill 0`: there is no moment at which a pid is not known yet) and goes last.
 */
const daemonScript = [
  'trap \'trap "" TERM; kill -TERM 0; wait; rm -f "$0"; exit 0\' TERM',
  'while [ -e "$0" ]; do "$@" & wait "$!"; sleep 1; done',
].join('; ')

/**
 * Starts that shell with its pid in a file ($0). The file is there before this returns: whoever looks for the daemon
 * a moment later, to undo it, must not find nothing. The words of the program are its second line.
 */
const startScript =
  'umask 077; mkdir -p "$(dirname "$0")"; : >"$0"; script=$1; shift; setsid sh -c "$script" "$0" "$@" </dev/null >/dev/null 2>>"$0.log" & printf "%s\\n" $! "$*" >"$0"'

/** @param run directory for pid files and logs */
export const daemonSupervisor = (local: Host, run: string): Supervisor => {
  const pidFile = (name: string) => join(run, `${name}.pid`)
  return {
    probe: async (name) =>
      (await daemonPid(pidFile(name), name)) || (await orphan(pidFile(name)))
        ? { is: 'present' }
        : { is: 'absent' },
    pid: async (name) => {
      const shell = await daemonPid(pidFile(name), name)
      return shell === null ? ((await orphan(pidFile(name)))?.pid ?? null) : childOf(shell)
    },
    start: (name, argv) => [
      { on: local, command: { argv: ['sh', '-c', startScript, pidFile(name), daemonScript, ...argv] } },
    ],
    stop: (name) => [
      {
        on: local,
        text: `kill the process of ${pidFile(name)} and wait until it is gone`,
        call: () => stopDaemon(pidFile(name), name, 'SIGTERM'),
      },
    ],
    kill: (name) => [
      {
        on: local,
        text: `kill -9 the process group of ${pidFile(name)}`,
        call: () => stopDaemon(pidFile(name), name, 'SIGKILL'),
      },
    ],
  }
}

/** The daemon's pid, only while that process really is the one we started (pids are given out again). */
const daemonPid = async (file: string, name: string): Promise<number | null> => {
  const pid = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10)
  if (!Number.isInteger(pid) || pid < 2) return null
  const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
  const isOurs =
    words.some((word) => word.endsWith(`${name}.pid`)) &&
    (await readlink(`/proc/${pid}/exe`).catch(() => '')) !== ''
  return isOurs ? pid : null
}

/** A program whose shell was killed goes on, with nobody to start it again. */
const orphan = async (file: string): Promise<{ readonly pid: number; readonly group: number } | null> => {
  const [first = '', words = ''] = (await readFile(file, 'utf8').catch(() => '')).split('\n')
  const group = Number.parseInt(first, 10)
  if (!Number.isInteger(group) || group < 2 || words === '') return null
  const pid = await inGroup(group, words)
  return pid === null || pid === group ? null : { pid, group }
}

const stopDaemon = async (file: string, name: string, how: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
  const shell = await daemonPid(file, name)
  const left = shell === null ? await orphan(file) : null
  // Of the shell's group only what it started is left.
  const pid = shell ?? (left === null ? null : -left.group)
  const runs = async (): Promise<boolean> => (await (left ? orphan(file) : daemonPid(file, name))) !== null
  for (let waited = 0; pid !== null && waited < 100 && (await runs()); waited++) {
    // Again every second: a shell that is just about to wait for its child does not hear it.
    if (waited % 10 === 0) signal(pid, how)
    await pause(100)
  }
  if (pid !== null && (await runs())) signal(pid, 'SIGKILL')
  if (left === null && (await orphan(file))) return stopDaemon(file, name, how)
  await rm(file, { force: true })
}

/** Asked to end, the shell ends its program itself; killed, it cannot, so its whole group is. */
const signal = (pid: number, how: 'SIGTERM' | 'SIGKILL'): void => {
  for (const target of how === 'SIGKILL' ? [-Math.abs(pid), pid] : [pid]) {
    try {
      process.kill(target, how)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // gone already, or not yet a group
    }
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
