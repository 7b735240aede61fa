import { rm, stat } from 'node:fs/promises'
import type { Action, Step } from '../engine/step.ts'
import { readIfThere, writeAtomic } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import { unitWord } from '../host/systemd.ts'
import { scrubService, scrubTimer } from '../names.ts'

/**
 * A scrub by the clock: a timer of systemd and the service that it starts. A vault that is not up then, or busy, is
 * asked again every hour until it was read.
 */

export type ScrubRhythm = 'weekly' | 'monthly' | 'off'

/** In the small hours of a Sunday. */
const calendar: Readonly<Record<'weekly' | 'monthly', string>> = {
  weekly: 'Sun *-*-* 03:00',
  monthly: 'Sun *-*-1..7 03:00',
}

export interface TimerOptions {
  readonly vault: string
  readonly rhythm: ScrubRhythm
  /** Program and arguments of `cloudvault scrub`. */
  readonly scrub: readonly string[]
}

const folder = '/etc/systemd/system'
const stampOf = (vault: string): string => `/var/lib/systemd/timers/stamp-${scrubTimer(vault)}`

/** Vaults of one machine do not begin all at once; after a night that was slept through it is made up for. */
const timerText = (
  vault: string,
  rhythm: 'weekly' | 'monthly',
): string => `# Written by \`cloudvault enable ${vault}\`; \`cloudvault disable ${vault}\` removes it.
[Unit]
Description=cloudvault: read every copy of ${vault}, ${rhythm}

[Timer]
OnCalendar=${calendar[rhythm]}
RandomizedDelaySec=2h
FixedRandomDelay=true
Persistent=true
Unit=${scrubService(vault)}

[Install]
WantedBy=timers.target
`

/** 2 profile, 3 missing here, 5 trust, 8 found what it could not mend, 9 secret, 70 bug: an hour changes none of these. */
const serviceText = ({
  vault,
  scrub,
}: TimerOptions): string => `# Written by \`cloudvault enable ${vault}\`; \`cloudvault disable ${vault}\` removes it.
[Unit]
Description=cloudvault: read every copy of ${vault}
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=${scrub.map(unitWord).join(' ')}
# Not up, or something else is at work on it.
Restart=on-failure
RestartSec=1h
RestartPreventExitStatus=2 3 5 8 9 70 130
LimitCORE=0
UMask=0077
`

const files = (options: TimerOptions): Readonly<Record<string, string>> =>
  options.rhythm === 'off'
    ? {}
    : {
        [`${folder}/${scrubService(options.vault)}`]: serviceText(options),
        [`${folder}/${scrubTimer(options.vault)}`]: timerText(options.vault, options.rhythm),
      }

const pathsOf = (vault: string): string[] => [
  `${folder}/${scrubService(vault)}`,
  `${folder}/${scrubTimer(vault)}`,
]

/** The timer as it should be: there, changed, or gone. */
export const timerStep = (local: Host, options: TimerOptions): Step => {
  const { vault, rhythm } = options
  const set = rhythm === 'off' ? removal(local, vault) : installation(local, options)
  return {
    name: 'scrub timer',
    needs: [],
    probe: async () => {
      const found = await Promise.all(pathsOf(vault).map((path) => readIfThere(path)))
      if (rhythm === 'off')
        return found.every((text) => text === null)
          ? { is: 'present', note: 'off' }
          : { is: 'differs', found: 'there was one' }
      if (found.every((text) => text === null)) return { is: 'absent' }
      const wanted = files(options)
      const same = pathsOf(vault).every((path, index) => found[index] === wanted[path])
      return same && (await isWaiting(local, vault))
        ? { is: 'present', note: rhythm }
        : { is: 'differs', found: 'it was another one' }
    },
    up: set,
    mend: set,
    down: removal(local, vault),
  }
}

/** The same, to be removed. */
export const noTimerStep = (local: Host, vault: string): Step => ({
  ...timerStep(local, { vault, rhythm: 'off', scrub: [] }),
  probe: async () => ((await timerFile(vault)) ? { is: 'present' } : { is: 'absent' }),
})

const installation = (local: Host, options: TimerOptions): Action[] => [
  ...Object.entries(files(options)).map(([path, text]) => ({
    on: local,
    text: `write ${path}`,
    call: () => writeAtomic(path, text, 0o644),
  })),
  { on: local, command: { argv: ['systemctl', 'daemon-reload'] } },
  { on: local, command: { argv: ['systemctl', '--quiet', 'enable', scrubTimer(options.vault)] } },
  { on: local, command: { argv: ['systemctl', 'restart', scrubTimer(options.vault)] } },
]

/** A scrub that runs now is left alone. */
const removal = (local: Host, vault: string): Action[] => [
  {
    on: local,
    command: { argv: ['systemctl', '--quiet', 'disable', '--now', scrubTimer(vault)] },
    ok: [0, 1], // 1: half of it is gone already
  },
  ...[...pathsOf(vault), stampOf(vault)].map((path) => ({
    on: local,
    text: `rm ${path}`,
    call: () => rm(path, { force: true }),
  })),
  { on: local, command: { argv: ['systemctl', 'daemon-reload'] } },
]

const timerFile = (vault: string): Promise<boolean> =>
  stat(`${folder}/${scrubTimer(vault)}`).then(
    () => true,
    () => false,
  )

const isWaiting = async (local: Host, vault: string): Promise<boolean> => {
  const enabled = await local.run({ argv: ['systemctl', 'is-enabled', scrubTimer(vault)] })
  const active = await local.run({ argv: ['systemctl', 'is-active', scrubTimer(vault)] })
  return enabled.stdout.trim() === 'enabled' && active.stdout.trim() === 'active'
}

/** When the next one begins; null when no timer waits. */
export const nextScrub = async (local: Host, vault: string): Promise<Date | null> => {
  if (!(await timerFile(vault))) return null
  // systemctl writes the time as the zone of its own environment has it.
  const show = ['env', 'TZ=UTC', 'systemctl', 'show', '--property=NextElapseUSecRealtime', '--value']
  return parseElapse((await local.run({ argv: [...show, scrubTimer(vault)] })).stdout)
}

/** "Sun 2026-12-06 03:56:23 UTC"; empty or "n/a" when it does not wait for a time. */
export const parseElapse = (text: string): Date | null => {
  const [, day, time] = /^\w{3} (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC$/.exec(text.trim()) ?? []
  return day === undefined ? null : new Date(`${day}T${time}Z`)
}
