import { Option } from 'commander'
import { dryRun, json, runs, type Verb } from './frame.ts'

/** The verbs about this machine: what runs by itself, and the lab. */
export const machineVerbs = (verb: Verb): void => {
  verb(
    'enable <name>',
    'bring the vault up at every boot; asks for the passphrase once, and tries everything now',
    ['sudo cloudvault enable photos', 'sudo cloudvault enable photos --scrub weekly'],
  )
    .addOption(dryRun())
    .addOption(json())
    .addOption(
      new Option('--scrub <rhythm>', 'read every copy by the clock; monthly unless said otherwise').choices([
        'weekly',
        'monthly',
        'off',
      ]),
    )
    .action((name: string, options: object) =>
      runs(async () => (await import('../enable.ts')).enableVerb)(name, options),
    )

  verb('disable <name>', 'leave the vault down at the next boot; takes away what enable made here', [
    'sudo cloudvault disable photos',
  ])
    .addOption(dryRun())
    .addOption(json())
    .action((name: string, options: object) =>
      runs(async () => (await import('../disable.ts')).disableVerb)(name, options),
    )

  verb('monitor <name>', 'watch a mounted vault and reconnect its members; started by up', [
    'sudo cloudvault monitor photos',
  ]).action((name: string) => runs(async () => (await import('../monitor.ts')).monitorVerb)(name))

  verb(
    'lab <action> [target]',
    'a trusted client and untrusted servers of real kernels on this machine: up, status, shell, down',
    ['sudo cloudvault lab up', 'sudo cloudvault lab shell'],
  ).action((action: string, host: string | undefined) =>
    runs(async () => (await import('../lab.ts')).labVerb)(action, host),
  )
}
