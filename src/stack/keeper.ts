import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Action, Step } from '../engine/step.ts'
import type { Host } from '../host/host.ts'
import { shellLine } from '../host/quote.ts'
import { unitPath } from '../host/systemd.ts'
import { keeperUnit } from '../names.ts'
import type { Vault } from './vault.ts'

/**
 * The keeper: a unit of systemd that does nothing while the vault stands, and takes it down when the machine goes
 * down, whoever brought it up. Made first and removed last, so that a vault that is half up is kept too. What the
 * vault runs (pumps, monitor) is out of systemd's reach at shutdown, see supervise.ts: only `down` ends it.
 */

/** reboot.target gives up on everybody after 30 min; a `down` that writes out over a slow line may need minutes. */
const stopTimeout = '25min'

/**
 * Stops after these have ended: users' sessions (logind orders them after systemd-user-sessions.service), and whatever
 * was started after the network filesystems because it may work on one.
 */
const endsAfter = ['remote-fs.target', 'systemd-user-sessions.service']

/** These are still there when it stops. */
const needs = ['network.target', 'network-online.target', 'nss-lookup.target']

/** @param takeDown program and arguments that take the vault down at shutdown */
export const keeper = (vault: Vault, takeDown: readonly string[]): Step => {
  const { local, profile } = vault
  const script = vault.paths.takeDown
  const unit = keeperUnit(profile.vault)
  return {
    name: 'keeper',
    needs: [],
    probe: async () => {
      const shown = await local.run({
        argv: ['systemctl', 'show', '--property=ActiveState', '--value', unit],
      })
      // While it stops, it is what runs this `down`.
      if (shown.stdout.trim() === 'active') return { is: 'present' }
      return shown.code === 0 ? { is: 'absent' } : { is: 'unknown', why: shown.stderr.trim() }
    },
    up: startKeeper(vault, unit, takeDown),
    down: [
      // Stopped with nothing left to do.
      { on: local, text: `empty ${script}`, call: () => writeFile(script, '') },
      // Not waited for by systemctl: at shutdown its turn may come only after ours.
      { on: local, command: { argv: ['systemctl', 'stop', '--no-block', unit] }, ok: [0, 5] },
      { on: local, text: `wait up to 5 s until ${unit} is gone`, call: () => gone(local, unit) },
      { on: local, text: `rm -f ${script}`, call: () => rm(script, { force: true }) },
    ],
  }
}

/**
 * What it runs stands in a file: systemd 252 does not read back every word of a transient unit that it wrote itself
 * (`$` and `;` come back with a backslash after a daemon-reload).
 */
const startKeeper = (
  { local, profile, paths }: Vault,
  unit: string,
  takeDown: readonly string[],
): readonly Action[] => {
  const property = (name: string, value: string): string => `--property=${name}=${value}`
  const script = paths.takeDown
  const programs = takeDown.filter((word) => word.startsWith('/'))
  const places = [profile.mount.at, paths.state, ...programs].map(unitPath)
  return [
    {
      on: local,
      text: `write ${script}: ${shellLine(takeDown)}`,
      call: async () => {
        await mkdir(dirname(script), { recursive: true, mode: 0o700 })
        await writeFile(script, `rm -f "$0"\nexec ${shellLine(takeDown)}\n`, { mode: 0o600 })
      },
    },
    // A unit that failed earlier keeps its name until it is reset.
    { on: local, command: { argv: ['systemctl', 'reset-failed', unit] }, ok: [0, 1, 5] },
    {
      on: local,
      command: {
        argv: [
          ...['systemd-run', '--quiet', `--unit=${unit}`, '--collect', '--remain-after-exit'],
          `--description=cloudvault ${profile.vault}: taken down when this machine goes down`,
          property('Type', 'oneshot'),
          property('ExecStop', `/bin/sh ${script}`),
          property('TimeoutStopSec', stopTimeout),
          property('Before', endsAfter.join(' ')),
          property('After', needs.join(' ')),
          // Its programs and files, and the mount itself: systemd would unmount them beside us.
          property('RequiresMountsFor', places.join(' ')),
          property('LimitCORE', '0'),
          ...['--', 'true'],
        ],
      },
    },
  ]
}

/** Whether it stands guard; no answer counts as a yes, because nothing is done about it here. */
export const isUp = async (local: Host, unit: string): Promise<boolean> => {
  const shown = await local.run({ argv: ['systemctl', 'show', '--property=ActiveState', '--value', unit] })
  return shown.code !== 0 || !['inactive', 'failed'].includes(shown.stdout.trim())
}

const gone = async (local: Host, unit: string): Promise<void> => {
  for (let waited = 0; waited < 50; waited++) {
    if (!(await isUp(local, unit))) return
    await sleep(100)
  }
}
