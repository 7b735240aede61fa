import { Command, Option } from 'commander'
import manifest from '../../package.json' with { type: 'json' }
import { Exit, type ExitCode } from '../fault.ts'
import type { World } from './world.ts'

/**
 * The verbs, their flags, their examples. Bodies are loaded when called. A verb that is not built is not in here.
 */

/** What the last verb answered. */
export const outcome: { exit: ExitCode } = { exit: Exit.ok }

type Body<A extends unknown[]> = (world: World, ...args: A) => Promise<ExitCode>

/** Loads the world and the verb's body, runs it, prints what it throws. */
const runs =
  <A extends unknown[]>(load: () => Promise<Body<A>>) =>
  async (...args: A): Promise<void> => {
    const { realWorld } = await import('./real-world.ts')
    const world = realWorld()
    const body = await load()
    try {
      outcome.exit = await body(world, ...args)
    } catch (error) {
      const { report } = await import('../ui/report.ts')
      const options = args.find(
        (arg): arg is A[number] & { json?: boolean } =>
          typeof arg === 'object' && arg !== null && 'json' in arg,
      )
      outcome.exit = report(world, error, { json: options?.json === true })
    }
  }

export const program = new Command('cloudvault')
  .description(
    'One YAML file and a few servers you do not trust become a mounted, encrypted, self-healing drive.',
  )
  .version(manifest.version)
  .exitOverride()
  .showSuggestionAfterError()
  .addHelpText(
    'after',
    `
NAME is a vault (its profile is found in $CLOUDVAULT_PROFILE, ~/.config/cloudvault, /etc/cloudvault) or a path to a profile.

Exit codes: 0 ok · 2 usage or profile · 3 missing here · 4 server unreachable or deadline · 5 trust refused ·
6 busy or held · 7 refused until you decide · 8 integrity errors · 9 secret wrong · 130 interrupted · 70 bug

Example:
  cloudvault init photos && cloudvault provision photos
  sudo cloudvault create photos && sudo cloudvault up photos`,
  )

const json = (): Option => new Option('--json', 'one JSON object on stdout, nothing else')
const dryRun = (): Option => new Option('-n, --dry-run', 'print the very commands, change nothing')
const confirm = (): Option =>
  new Option('--confirm <name>', 'the name of the vault, typed: consent without a terminal')

const verb = (signature: string, summary: string, examples: readonly string[]): Command =>
  program
    .command(signature)
    .description(summary)
    .addHelpText('after', `\nExample:\n${examples.map((line) => `  ${line}`).join('\n')}`)

verb('init [name]', 'ask for servers and write a profile', [
  'cloudvault init photos',
  'cloudvault init photos --member name=fsn,ssh=vps-fsn,provider=hetzner,size=100GiB --member name=gra,ssh=vps-gra,provider=ovh,size=100GiB --at /vault/photos --passphrase prompt',
])
  .option(
    '--member <key=value,…>',
    'a server: name, ssh, provider, size [, host-key, server, link]; repeat it',
    collect,
    [],
  )
  .option('--at <dir>', 'where to mount')
  .option('--mirror <redundancy>', 'single, raid1, raid1c3, raid1c4 or raid10')
  .option('--passphrase <source>', 'prompt, file:PATH, command:WORDS or credential:NAME')
  .option('--kdf <kdf>', 'cost of one passphrase guess: argon2id or pbkdf2 with its settings')
  .option('--from <file>', 'answers from a YAML or JSON file')
  .option('--output <path>', 'where to write the profile')
  .option('--print', 'write the profile to stdout and nowhere else')
  .option('--owner <user>', 'who gets the top directory of the vault')
  .option('--allow-same-provider', 'two mirrors at one provider')
  .option('--no-check', 'do not contact the servers')
  .option('--no-input', 'ask nothing; missing answers are an error')
  .addOption(json())
  .action((name: string | undefined, options: object) =>
    runs(async () => (await import('./init.ts')).initVerb)(name, options),
  )

verb('check [names...]', 'show every fault of profiles; contacts nobody', [
  'cloudvault check photos',
  'cloudvault check ./photos.yaml --json',
])
  .addOption(json())
  .action((names: string[], options: object) =>
    runs(async () => (await import('./check.ts')).checkVerb)(names, options),
  )

verb('schema', 'print the JSON Schema of profiles', ['cloudvault schema > profile.schema.json']).action(() =>
  runs(async () => (await import('./schema.ts')).schemaVerb)(),
)

verb(
  'provision <name> [members...]',
  'set up the servers: packages, disk, export, firewall; twice changes nothing',
  ['cloudvault provision photos --dry-run', 'cloudvault provision photos gra'],
)
  .addOption(dryRun())
  .addOption(json())
  .option('--accept-host-key <member=SHA256:…>', 'pin this key without a question; repeat it', collect, [])
  .action((name: string, members: string[], options: object) =>
    runs(async () => (await import('./provision.ts')).provisionVerb)(name, members, options),
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
    runs(async () => (await import('./unprovision.ts')).unprovisionVerb)(name, members, options),
  )

verb('create <name>', 'format a new vault and write its recovery kit; the only verb that formats', [
  'sudo cloudvault create photos',
  'sudo cloudvault create photos --confirm photos --kit /media/usb',
])
  .addOption(dryRun())
  .addOption(json())
  .addOption(confirm())
  .option('--kit <dir>', 'directory for the recovery kit')
  .action((name: string, options: object) =>
    runs(async () => (await import('./create.ts')).createVerb)(name, options),
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
    runs(async () => (await import('./up.ts')).upVerb)(name, options),
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
    runs(async () => (await import('./down.ts')).downVerb)(name, options),
  )

verb('status <name>', 'one verdict and one line per member', [
  'sudo cloudvault status photos',
  'sudo cloudvault status photos --check   # exit code says the health',
])
  .addOption(json())
  .option('--check', 'exit by health: 0 healthy, 7 needs a decision or is down, 8 errors found')
  .action((name: string, options: object) =>
    runs(async () => (await import('./status.ts')).statusVerb)(name, options),
  )

verb('scrub <name>', 'read every copy of everything, mend what is wrong', ['sudo cloudvault scrub photos'])
  .addOption(json())
  .action((name: string, options: object) =>
    runs(async () => (await import('./scrub.ts')).scrubVerb)(name, options),
  )

verb('resilver <name>', 'make a copy that missed writes equal again, and prove it', [
  'sudo cloudvault resilver photos',
])
  .addOption(json())
  .action((name: string, options: object) =>
    runs(async () => (await import('./resilver.ts')).resilverVerb)(name, options),
  )

verb('kit <name>', 'write the recovery kit anew: everything but the passphrase, in one file', [
  'sudo cloudvault kit photos --to /media/usb',
])
  .addOption(dryRun())
  .addOption(json())
  .option('--to <dir>', 'directory for it')
  .action((name: string, options: object) =>
    runs(async () => (await import('./kit.ts')).kitVerb)(name, options),
  )

verb(
  'restore-kit <file>',
  'bring back from a recovery kit what is damaged or gone here, or everything on a new machine',
  [
    'sudo cloudvault restore-kit /media/usb/photos-recovery-kit.tar',
    'sudo cloudvault restore-kit /media/usb/photos-recovery-kit.tar --only headers/fsn.luks',
  ],
)
  .option('--only <file>', 'nothing but this file of the kit; repeat it', collect, [])
  .addOption(dryRun())
  .addOption(json())
  .addOption(confirm())
  .action((file: string, options: object) =>
    runs(async () => (await import('./restore-kit.ts')).restoreKitVerb)(file, options),
  )

verb(
  'discover <name>',
  'make a lost record anew from headers and servers; reads, and never writes to a member',
  ['sudo cloudvault discover photos'],
)
  .addOption(dryRun())
  .addOption(json())
  .addOption(confirm())
  .option('--take-over', 'take sessions that another machine holds; it is fenced out first')
  .action((name: string, options: object) =>
    runs(async () => (await import('./discover.ts')).discoverVerb)(name, options),
  )

verb('key <action> <name> [slot]', 'who may open the vault: list, change, add, remove; contacts no server', [
  'sudo cloudvault key list photos',
  'sudo cloudvault key change photos',
  'sudo cloudvault key add photos --recovery   # 48 digits for a drawer, shown once',
  'sudo cloudvault key remove photos 1',
])
  .addOption(json())
  .addOption(confirm())
  .option(
    '--passphrase <source>',
    'one that opens it now: prompt, file:PATH, command:WORDS or credential:NAME',
  )
  .option('--new <source>', 'the new one, from the same sources')
  .option('--recovery', 'add: make a recovery key')
  .action((action: string, name: string, slot: string | undefined, options: object) =>
    runs(async () => (await import('./key.ts')).keyVerb)(action, name, slot, options),
  )

verb(
  'enable <name>',
  'bring the vault up at every boot; asks for the passphrase once, and tries everything now',
  ['sudo cloudvault enable photos'],
)
  .addOption(dryRun())
  .addOption(json())
  .action((name: string, options: object) =>
    runs(async () => (await import('./enable.ts')).enableVerb)(name, options),
  )

verb('disable <name>', 'leave the vault down at the next boot; takes away what enable made here', [
  'sudo cloudvault disable photos',
])
  .addOption(dryRun())
  .addOption(json())
  .action((name: string, options: object) =>
    runs(async () => (await import('./disable.ts')).disableVerb)(name, options),
  )

verb('runbook <name>', 'print how to open the vault by hand, without cloudvault', [
  'cloudvault runbook photos > photos.txt',
]).action((name: string) => runs(async () => (await import('./runbook.ts')).runbookVerb)(name))

verb('monitor <name>', 'watch a mounted vault and reconnect its members; started by up', [
  'sudo cloudvault monitor photos',
]).action((name: string) => runs(async () => (await import('./monitor.ts')).monitorVerb)(name))

verb(
  'lab <action> [target]',
  'a trusted client and untrusted servers of real kernels on this machine: up, status, shell, down',
  ['sudo cloudvault lab up', 'sudo cloudvault lab shell'],
).action((action: string, host: string | undefined) =>
  runs(async () => (await import('./lab.ts')).labVerb)(action, host),
)

program.action(async (_options: object, command: Command) => {
  const [unknown] = command.args
  if (unknown === undefined && process.stdin.isTTY && process.stderr.isTTY) {
    return runs(async () => (await import('./init.ts')).bareVerb)()
  }
  if (unknown !== undefined) command.error(`error: unknown command '${unknown}'`)
  command.outputHelp({ error: true })
  outcome.exit = Exit.usage
})

/** Gathers a repeatable option. A function declaration, because it is used above. */
function collect(value: string, before: string[]): string[] {
  return [...before, value]
}
