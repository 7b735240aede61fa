import { type Perform, perform } from '../engine/action.ts'
import { costOf } from '../host/process.ts'
import { systemdRuns } from '../host/systemd.ts'
import { keeperUnit, monitorUnit } from '../names.ts'
import { isEnabled } from '../stack/boot.ts'
import { isUp } from '../stack/keeper.ts'
import { mountAt } from '../stack/mount.ts'
import type { Looked } from './health.ts'
import type { ServicesReport, StatusReport } from './status.ts'

/**
 * What works for a vault in the background: the monitor and the keeper while it stands, and whether it comes up at
 * boot. One that is missing is no fault of the data, and `up` starts it again; but nobody would notice.
 */
export const lookAtServices = async (
  { profile, local, supervisor }: Looked,
  mounted: boolean,
): Promise<ServicesReport> => {
  const systemd = await systemdRuns()
  const atBoot = systemd ? { atBoot: await isEnabled(local, profile.vault) } : {}
  if (!mounted) return atBoot
  const unit = monitorUnit(profile.vault)
  const found = (await supervisor.probe(unit)).is
  const pid = found === 'present' ? await supervisor.pid(unit) : null
  const cost = pid === null ? null : await costOf(pid)
  return {
    monitor: found === 'present' ? 'running' : found === 'absent' ? 'missing' : 'unknown',
    ...(cost ? { monitorCost: cost } : {}),
    ...(systemd
      ? {
          keeper: (await isUp(local, keeperUnit(profile.vault)))
            ? ('running' as const)
            : ('missing' as const),
        }
      : {}),
    ...atBoot,
  }
}

/**
 * Starts a monitor where the vault is mounted and none runs (it was killed together with what would have started it
 * again): nobody would reconnect a link, and two that are lost take the mount with them. The caller holds the vault's
 * lock: a `down` that is taking it apart has just ended its monitor.
 * @param watch program and arguments
 * @returns whether one was started
 */
export const startMissingMonitor = async (
  { profile, supervisor }: Pick<Looked, 'profile' | 'supervisor'>,
  watch: readonly string[],
  carryOut: Perform = perform,
): Promise<boolean> => {
  const unit = monitorUnit(profile.vault)
  if ((await mountAt(profile.mount.at)) === null) return false
  if ((await supervisor.probe(unit)).is !== 'absent') return false
  for (const action of supervisor.start(unit, watch)) await carryOut(action)
  return true
}

/** What is missing, said with the reasons of the verdict, and the command that brings it back. */
export const withServices = (
  report: Pick<StatusReport, 'verdict' | 'why' | 'next'>,
  vault: string,
  { monitor, keeper }: ServicesReport,
): Pick<StatusReport, 'verdict' | 'why' | 'next'> => {
  const missing = [
    ...(monitor === 'missing' ? ['no monitor runs: an outage would not be sat out'] : []),
    ...(keeper === 'missing' ? ['no keeper runs: a shutdown would not take it down first'] : []),
  ]
  if (missing.length === 0) return report
  return {
    verdict: report.verdict,
    why: [...report.why, ...missing],
    next: [...report.next, `cloudvault up ${vault}   starts what is missing and leaves the rest as it is`],
  }
}
