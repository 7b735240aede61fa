import { Option } from 'commander'
import { collect, confirm, dryRun, json, runs, type Verb } from './frame.ts'

const yes = (): Option => new Option('-y, --yes', 'do not ask after the plan')
const limit = (): Option =>
  new Option('--limit <rate>', 'move at most so many bytes a second: 5MiB; `resume` changes it later')
const accept = (): Option =>
  new Option('--accept-host-key <member=SHA256:…>', 'pin this key without a question')
    .argParser(collect)
    .default([])

/** The verbs that change who holds the vault, and how often, while it is in use. */
export const changeVerbs = (verb: Verb): void => {
  verb('add-mirror <name>', 'one more server holds a copy; the vault stays in use', [
    'sudo cloudvault add-mirror photos --member name=hel,ssh=vps-hel,provider=upcloud,size=100GiB',
    'sudo cloudvault add-mirror photos --member name=hel,ssh=vps-hel --mirror raid1c3 --yes',
  ])
    .option('--member <key=value,…>', 'the server: name, ssh, provider, size …; or a member of the profile')
    .option(
      '--mirror <redundancy>',
      'what everything is stored as afterwards; default: raid1 from single, else as it is',
    )
    .addOption(limit())
    .addOption(accept())
    .addOption(yes())
    .addOption(dryRun())
    .addOption(json())
    .action((name: string, options: object) =>
      runs(async () => (await import('../add-mirror.ts')).addMirrorVerb)(name, options),
    )

  verb('replace <name> <member>', 'another server takes a member’s place, dead or alive', [
    'sudo cloudvault replace photos gra --with name=waw,ssh=vps-waw,provider=ovh',
  ])
    .option('--with <key=value,…>', 'the new server: name, ssh, provider, size …')
    .option('--failing', 'read from the old one only where no other copy is right')
    .addOption(limit())
    .addOption(accept())
    .addOption(yes())
    .addOption(dryRun())
    .addOption(json())
    .action((name: string, member: string, options: object) =>
      runs(async () => (await import('../replace.ts')).replaceVerb)(name, member, options),
    )

  verb(
    'remove-mirror <name> <member>',
    'a member leaves: its data is moved first, then its disk is deleted',
    [
      'sudo cloudvault remove-mirror photos gra',
      'sudo cloudvault remove-mirror photos gra --mirror single --confirm photos',
    ],
  )
    .option('--mirror <redundancy>', 'what everything is stored as afterwards; needed when it must be less')
    .addOption(limit())
    .addOption(confirm())
    .addOption(dryRun())
    .addOption(json())
    .action((name: string, member: string, options: object) =>
      runs(async () => (await import('../remove-mirror.ts')).removeMirrorVerb)(name, member, options),
    )

  verb(
    'redundancy <name> <wanted>',
    'store everything more or less often: single, raid1, raid1c3, raid1c4, raid10',
    ['sudo cloudvault redundancy photos raid1c3'],
  )
    .addOption(limit())
    .addOption(yes())
    .addOption(confirm())
    .addOption(dryRun())
    .addOption(json())
    .action((name: string, wanted: string, options: object) =>
      runs(async () => (await import('../redundancy.ts')).redundancyVerb)(name, wanted, options),
    )

  verb('resume <name>', 'go on with a change of members where it was cut off, or show how far it is', [
    'sudo cloudvault resume photos',
    'sudo cloudvault resume photos --limit off',
  ])
    .option('--limit <rate>', 'from now on so many bytes a second; off: as fast as the line is')
    .addOption(json())
    .action((name: string, options: object) =>
      runs(async () => (await import('../resume.ts')).resumeVerb)(name, options),
    )

  verb('cancel <name>', 'give a change of members up, and take back what was done', [
    'sudo cloudvault cancel photos',
  ])
    .addOption(yes())
    .addOption(json())
    .action((name: string, options: object) =>
      runs(async () => (await import('../cancel.ts')).cancelVerb)(name, options),
    )
}
