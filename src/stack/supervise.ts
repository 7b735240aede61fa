import { readFile, readlink, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Action, Finding } from '../engine/step.ts'
import type { Host } from '../host/host.ts'

/**
 * Processes that must live on after cloudvault has ended (pumps, the monitor): transient units where systemd runs the
 * machine, daemons with a pid file where it does not. One interface, two makes; both are named after the vault, so
 * that they are found again without a receipt.
 */

export interface Supervisor {
  probe(name: string): Promise<Finding>
  /** Starts a program that is started again whenever it ends. */
  start(name: string, argv: readonly string[]): readonly Action[]
  /** Asks it to end, and insists after a while. */
  stop(name: string): readonly Action[]
  /** Ends it at once, without its having a say. */
  kill(name: string): readonly Action[]
}

/** @param run directory for pid files and logs when there is no systemd */
export const supervisor = async (local: Host, run: string): Promise<Supervisor> =>
  (await there('/run/systemd/system')) ? systemdSupervisor(local) : daemonSupervisor(local, run)

const there = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

const systemdSupervisor = (local: Host): Supervisor => ({
  probe: async (name) => {
    const shown = await local.run({
      argv: ['systemctl', 'show', '--property=ActiveState', '--value', `${name}.service`],
    })
    const state = shown.stdout.trim()
    if (state === 'active' || state === 'activating') return { is: 'present' }
    return shown.code === 0 ? { is: 'absent' } : { is: 'unknown', why: shown.stderr.trim() }
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
          ...['--property=StartLimitIntervalSec=0', '--property=LimitCORE=0', '--', ...argv],
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
 * Without systemd: a shell of its own session, its pid in a file ($0), that starts the program again when it ends, until
 * it is told to end itself.
 */
const daemonScript = [
  'exec </dev/null >/dev/null 2>>"$0.log"',
  'echo $$ >"$0"',
  'trap \'rm -f "$0"; [ -z "$child" ] || kill "$child"; exit 0\' TERM',
  'while [ -e "$0" ]; do "$@" & child=$!; wait "$child"; sleep 1; done',
].join('; ')

const daemonSupervisor = (local: Host, run: string): Supervisor => {
  const pidFile = (name: string) => join(run, `${name}.pid`)
  return {
    probe: async (name) => ((await daemonPid(pidFile(name), name)) ? { is: 'present' } : { is: 'absent' }),
    start: (name, argv) => [
      { on: local, command: { argv: ['mkdir', '-p', '-m', '0700', run] } },
      {
        on: local,
        command: {
          argv: [...['setsid', '--fork', 'sh', '-c', daemonScript, pidFile(name), ...argv]],
        },
      },
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

/** The group is signalled: the program must not outlive the shell that starts it again. */
const stopDaemon = async (file: string, name: string, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
  const pid = await daemonPid(file, name)
  if (pid === null) return
  process.kill(-pid, signal)
  for (let waited = 0; waited < 100 && (await daemonPid(file, name)) !== null; waited++) await pause(100)
  if ((await daemonPid(file, name)) !== null) process.kill(-pid, 'SIGKILL')
  await rm(file, { force: true })
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
