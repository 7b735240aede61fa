import { collect, confirm, dryRun, json, runs, type Verb } from './frame.ts'

/** The verbs about keys and about what is lost: kit, keyring, record, runbook. */
export const keysVerbs = (verb: Verb): void => {
  verb('kit <name>', 'write the recovery kit anew: everything but the passphrase, in one file', [
    'sudo cloudvault kit photos --to /media/usb',
  ])
    .addOption(dryRun())
    .addOption(json())
    .option('--to <dir>', 'directory for it')
    .action((name: string, options: object) =>
      runs(async () => (await import('../kit.ts')).kitVerb)(name, options),
    )

  verb(
    'escrow <name>',
    'put an encrypted copy of the recovery kit on every server, and print the sheet that opens it',
    [
      'sudo cloudvault escrow photos | lp',
      'sudo cloudvault restore-kit --sheet sheet.txt   # on a new machine',
    ],
  )
    .addOption(dryRun())
    .addOption(json())
    .action((name: string, options: object) =>
      runs(async () => (await import('../escrow.ts')).escrowVerb)(name, options),
    )

  verb(
    'restore-kit [file]',
    'bring back from a recovery kit what is damaged or gone here, or everything on a new machine',
    [
      'sudo cloudvault restore-kit /media/usb/photos-recovery-kit.tar',
      'sudo cloudvault restore-kit /media/usb/photos-recovery-kit.tar --only headers/fsn.luks',
      'sudo cloudvault restore-kit --sheet sheet.txt',
    ],
  )
    .option('--sheet <file>', 'instead of a file: the sheet that escrow printed; - reads it from stdin')
    .option('--only <file>', 'nothing but this file of the kit; repeat it', collect, [])
    .addOption(dryRun())
    .addOption(json())
    .addOption(confirm())
    .action((file: string | undefined, options: object) =>
      runs(async () => (await import('../restore-kit.ts')).restoreKitVerb)(file, options),
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
      runs(async () => (await import('../discover.ts')).discoverVerb)(name, options),
    )

  verb(
    'key <action> <name> [slot]',
    'who may open the vault: list, change, add, remove contact no server; rotate: new keys for everything',
    [
      'sudo cloudvault key list photos',
      'sudo cloudvault key change photos',
      'sudo cloudvault key add photos --recovery   # 48 digits for a drawer, shown once',
      'sudo cloudvault key add photos --tpm2       # this machine opens it by itself',
      'sudo cloudvault key remove photos 1',
      'sudo cloudvault key rotate photos --reencrypt   # new volume keys, while it is in use',
    ],
  )
    .addOption(dryRun())
    .addOption(json())
    .addOption(confirm())
    .option(
      '--passphrase <source>',
      'one that opens it now: prompt, file:PATH, command:WORDS or credential:NAME',
    )
    .option('--new <source>', 'the new one, from the same sources')
    .option('--recovery', 'add: make a recovery key')
    .option(
      '--tpm2',
      'add: the TPM2 of this machine opens it, as long as Secure Boot is as it is now (PCR 7)',
    )
    .option('--pin', 'add --tpm2: only with a PIN')
    .option('--fido2', 'add: a FIDO2 security key opens it')
    .option('--reencrypt', 'rotate: everything is stored anew, one member at a time')
    .action((action: string, name: string, slot: string | undefined, options: object) =>
      runs(async () => (await import('../key.ts')).keyVerb)(action, name, slot, options),
    )

  verb('runbook <name>', 'print how to open the vault by hand, without cloudvault', [
    'cloudvault runbook photos > photos.txt',
  ]).action((name: string) => runs(async () => (await import('../runbook.ts')).runbookVerb)(name))
}
