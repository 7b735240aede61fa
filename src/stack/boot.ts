import { rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Action, Step } from '../engine/step.ts'
import { readIfThere, writeAtomic } from '../host/files.ts'
import type { Host } from '../host/host.ts'
import { unitPath, unitWord } from '../host/systemd.ts'
import { bootUnit, keeperUnit } from '../names.ts'

/**
 * What brings a vault up at boot: a unit of systemd that runs `cloudvault up`, and its being enabled. It takes nothing
 * down: that is the keeper's work, whoever brought the vault up.
 */

export interface BootOptions {
  readonly vault: string
  readonly mountAt: string
  /** Program and arguments of `cloudvault up`. */
  readonly bringUp: readonly string[]
  /** Directories and programs that must be there before. */
  readonly places: readonly string[]
  /** LoadCredential…= line, or null when the passphrase comes from elsewhere. */
  readonly credential: string | null
}

export const bootUnitPath = (vault: string): string => `/etc/systemd/system/${bootUnit(vault)}`

/** Exit codes that waiting does not mend: profile, missing here, trust, integrity, secret, bug. */
const hopeless = '2 3 5 8 9 70'

/**
 * No dependency names the keeper: systemd keeps in memory what a unit refers to, and then the next `up` could not make
 * a unit of that name.
 *
 * No sandbox: it makes devices and mounts that everybody is to see, and any option that gives it a view of its own
 * (ProtectSystem=, PrivateTmp= …) would hide the mount in there.
 */
export const unitText = (
  options: BootOptions,
): string => `# Written by \`cloudvault enable ${options.vault}\`; \`cloudvault disable ${options.vault}\` removes it.
[Unit]
Description=cloudvault ${options.vault} at ${options.mountAt.replaceAll('%', '%%')}
Wants=network-online.target
After=network-online.target nss-lookup.target
RequiresMountsFor=${options.places.map((place) => unitPath(place).replaceAll('%', '%%')).join(' ')}
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${options.bringUp.map(unitWord).join(' ')}
${options.credential ?? '# The passphrase comes from the source that the profile names.'}
# Stopped by hand, it takes the vault down. (5: it is down.)
ExecStop=/bin/sh -c "systemctl stop ${keeperUnit(options.vault)} || [ $$? = 5 ]"
TimeoutStartSec=30min
TimeoutStopSec=25min
# A server that is away at boot may answer later.
Restart=on-failure
RestartSec=2min
RestartPreventExitStatus=${hopeless}
LimitCORE=0
UMask=0077

[Install]
WantedBy=multi-user.target
`

/** The unit's file, and that systemd starts it at boot. */
export const bootSteps = (local: Host, options: BootOptions): Step[] => {
  const unit = bootUnit(options.vault)
  const path = bootUnitPath(options.vault)
  const text = unitText(options)
  const reload: Action = { on: local, command: { argv: ['systemctl', 'daemon-reload'] } }
  const write: Action[] = [
    { on: local, text: `write ${path}`, call: () => writeAtomic(path, text, 0o644) },
    reload,
  ]
  return [
    {
      name: 'boot unit',
      needs: [],
      probe: async () => {
        const found = await readIfThere(path)
        if (found === null) return { is: 'absent' }
        // Only to be removed: whichever it is.
        return found === text || options.bringUp.length === 0
          ? { is: 'present' }
          : { is: 'differs', found: 'it was another one' }
      },
      up: write,
      mend: write,
      down: [{ on: local, text: `rm ${path}`, call: () => rm(path, { force: true }) }, reload],
    },
    {
      name: 'at boot',
      needs: ['boot unit'],
      probe: async () => ((await isEnabled(local, options.vault)) ? { is: 'present' } : { is: 'absent' }),
      up: [{ on: local, command: { argv: ['systemctl', '--quiet', 'enable', unit] } }],
      down: [{ on: local, command: { argv: ['systemctl', '--quiet', 'disable', unit] } }],
    },
  ]
}

/** Whether the vault comes up at the next boot. */
export const isEnabled = async (local: Host, vault: string): Promise<boolean> => {
  const output = await local.run({ argv: ['systemctl', 'is-enabled', bootUnit(vault)] })
  return output.stdout.trim() === 'enabled'
}

/**
 * Lets the unit rest until the next boot: what is taken down by hand is not to be brought up by its next try.
 * @returns whether the vault comes up at the next boot
 */
export const restUntilBoot = async (local: Host, vault: string): Promise<boolean> => {
  if (!(await stat(bootUnitPath(vault)).catch(() => null))) return false
  // Not waited for: it may be this very unit whose end takes the vault down.
  await local.run({ argv: ['systemctl', 'stop', '--no-block', bootUnit(vault)] })
  return isEnabled(local, vault)
}

/** Directories of the programs among these words, and of the profile: what a unit needs mounted. */
export const placesOf = (argv: readonly string[], state: string): string[] => [
  ...new Set([state, ...argv.filter((word) => word.startsWith('/')).map((word) => dirname(word))]),
]
