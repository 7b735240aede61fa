import { collect, confirm, dryRun, json, runs, type Verb } from './frame.ts'

/** The verbs about the far side. */
export const serversVerbs = (verb: Verb): void => {
  verb(
    'provision <name> [members...]',
    'set up the servers: packages, disk, export, firewall; twice changes nothing',
    ['cloudvault provision photos --dry-run', 'cloudvault provision photos gra'],
  )
    .addOption(dryRun())
    .addOption(json())
    .option('--accept-host-key <member=SHA256:…>', 'pin this key without a question; repeat it', collect, [])
    .action((name: string, members: string[], options: object) =>
      runs(async () => (await import('../provision.ts')).provisionVerb)(name, members, options),
    )

  verb(
    'unprovision <name> [members...]',
    'remove from the servers exactly what provision made there, disks included',
    ['cloudvault unprovision photos gra --confirm photos'],
  )
    .addOption(dryRun())
    .addOption(json())
    .addOption(confirm())
    .action((name: string, members: string[], options: object) =>
      runs(async () => (await import('../unprovision.ts')).unprovisionVerb)(name, members, options),
    )

  verb(
    'resize <name> <member> <size>',
    "another size for a member's disk, live: larger, or smaller when what lies there fits elsewhere",
    [
      'sudo cloudvault resize photos fsn 200GiB --dry-run',
      'sudo cloudvault resize photos fsn 50GiB --confirm photos   # smaller: its end is given up',
      'sudo cloudvault resize photos fsn max                      # a block device that was made larger',
    ],
  )
    .addOption(dryRun())
    .addOption(json())
    .option('--yes', 'grow without a question')
    .addOption(confirm())
    .action((name: string, member: string, size: string, options: object) =>
      runs(async () => (await import('../resize.ts')).resizeVerb)(name, member, size, options),
    )
}
