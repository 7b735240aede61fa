import { Option } from 'commander'
import { collect, confirm, dryRun, json, runs, type Verb } from './frame.ts'

/** The verbs of every day: a vault is made, brought up, looked after and taken down. */
export const dailyVerbs = (verb: Verb): void => {
  verb('create <name>', 'format a new vault and write its recovery kit; the only verb that formats', [
    'sudo cloudvault create photos',
    'sudo cloudvault create photos --confirm photos --kit /media/usb',
  ])
    .addOption(dryRun())
    .addOption(json())
    .addOption(confirm())
    .option('--kit <dir>', 'directory for the recovery kit')
    .action((name: string, options: object) =>
      runs(async () => (await import('../create.ts')).createVerb)(name, options),
    )

  verb('up <name>', 'attach, open and mount; a second up changes nothing', [
    'sudo cloudvault up photos',
    'sudo cloudvault up photos --degraded=ro                    # a provider is gone: read',
    'sudo cloudvault up photos --degraded=rw                    # … go on writing, with fewer copies until it is back',
    'sudo cloudvault up photos --degraded=ro --without gra      # the halves diverged: read what the others hold',
    'sudo cloudvault up photos --accept-rollback                # every provider restored an old snapshot: take it',
  ])
    .addOption(dryRun())
    .addOption(json())
    .option('--read-only', 'mount read-only')
    .addOption(
      new Option(
        '--degraded <mode>',
        'go on without members that do not answer: read only, or write too (refused when the part that is here lacks something)',
      ).choices(['ro', 'rw']),
    )
    .option(
      '--without <member>',
      'with --degraded: leave this one out although it answers; repeat it',
      collect,
      [],
    )
    .option('--allow-stale', 'mount although one member serves an older state than the others')
    .option(
      '--accept-rollback',
      'mount although every server serves an older state than this machine proved; asks for the name of the vault',
    )
    .addOption(confirm())
    .option('--take-over', 'take sessions that another machine holds; it is fenced out first')
    .action((name: string, options: object) =>
      runs(async () => (await import('../up.ts')).upVerb)(name, options),
    )

  verb('down <name>', 'unmount and close; returns when every server provably has everything', [
    'sudo cloudvault down photos',
    'sudo cloudvault down photos --kill',
  ])
    .addOption(dryRun())
    .addOption(json())
    .option('--kill', 'end the programs that use the vault; shows them and asks first')
    .addOption(confirm())
    .addOption(new Option('--stopping', 'said by the unit that ends with the machine').hideHelp())
    .action((name: string, options: object) =>
      runs(async () => (await import('../down.ts')).downVerb)(name, options),
    )

  verb('status <name>', 'one verdict and one line per member', [
    'sudo cloudvault status photos',
    'sudo cloudvault status photos --check   # exit code says the health',
    'sudo cloudvault status photos --watch   # again and again, with what goes over each line; Ctrl-C ends it',
  ])
    .addOption(json())
    .option('--check', 'exit by health: 0 healthy, 7 needs a decision or is down, 8 errors found')
    .option('--watch', 'redraw every 2 s; in a log a line per change, with --json an object a line')
    .action((name: string, options: object) =>
      runs(async () => (await import('../status.ts')).statusVerb)(name, options),
    )

  verb('scrub <name>', 'read every copy of everything, mend what is wrong', [
    'sudo cloudvault scrub photos',
    'sudo cloudvault scrub photos --limit 20MiB   # a second, from each server; also while one runs',
    'sudo cloudvault scrub photos --history       # what the last ones found, and at whose provider',
  ])
    .addOption(json())
    .option('--limit <rate>', 'read no faster than this from each server; off for no limit')
    .option('--history', 'show the last twelve results')
    .action((name: string, options: object) =>
      runs(async () => (await import('../scrub.ts')).scrubVerb)(name, options),
    )

  verb('resilver <name>', 'make a copy that missed writes equal again, and prove it', [
    'sudo cloudvault resilver photos',
  ])
    .addOption(json())
    .action((name: string, options: object) =>
      runs(async () => (await import('../resilver.ts')).resilverVerb)(name, options),
    )
}
