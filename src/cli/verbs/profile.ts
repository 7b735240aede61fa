import { collect, json, runs, type Verb } from './frame.ts'

/** The verbs about a profile; none contacts a server but `init`, to look. */
export const profileVerbs = (verb: Verb): void => {
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
      runs(async () => (await import('../init.ts')).initVerb)(name, options),
    )

  verb('check [names...]', 'show every fault of profiles; contacts nobody', [
    'cloudvault check photos',
    'cloudvault check ./photos.yaml --json',
  ])
    .addOption(json())
    .action((names: string[], options: object) =>
      runs(async () => (await import('../check.ts')).checkVerb)(names, options),
    )

  verb('schema', 'print the JSON Schema of profiles', ['cloudvault schema > profile.schema.json']).action(
    () => runs(async () => (await import('../schema.ts')).schemaVerb)(),
  )
}
