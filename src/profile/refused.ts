import type { Path } from './manual.ts'

/**
 * Keys and words that people will try and that are not there: planned ones, and those left out on purpose. A
 * silent "unknown key" would leave them guessing.
 */

const planned = new Set(['care', 'alerts', 'hooks', 'metrics', 'bandwidth'])

const mountOptions =
  'mount options are not a setting: nosuid, nodev, noatime and the compression are always set, and others (nodatacow, degraded, nobarrier, …) would break a promise'
const cipher =
  'the cipher is not a setting: always LUKS2 with aes-xts-plain64 and a 512-bit key, 4096-byte sectors'
const noSecrets = 'secrets do not belong into a profile (the value is not shown); see unlock.passphrase'
const sshConfig = 'belongs into ~/.ssh/config under an alias, which `ssh:` then names'
const header = 'not a setting: headers stay on this machine, in cloudvault’s own directory'
const noTemplates = 'profiles include nothing and are no templates; write one file per vault'

const reasons: Readonly<Record<string, string>> = {
  options: mountOptions,
  mount_options: mountOptions,
  cipher,
  key_size: cipher,
  luks: cipher,
  luks_version: cipher,
  password: noSecrets,
  secret: noSecrets,
  key: noSecrets,
  passphrase_file: 'write it as unlock.passphrase.file',
  passphrase_command: 'write it as unlock.passphrase.command',
  identity: sshConfig,
  identity_file: sshConfig,
  port: `${sshConfig}; or write ssh: user@host:port`,
  user: `${sshConfig}; or write ssh: user@host`,
  host: 'write it as ssh: an alias, or [user@]host[:port]',
  hostname: 'write it as ssh: an alias, or [user@]host[:port]',
  header,
  header_file: header,
  state_dir: 'not a setting of a vault; cloudvault keeps its state in its own directory',
  include: noTemplates,
  extends: noTemplates,
  export: 'export names are made by cloudvault (a fresh one for every session)',
  bind: 'not a setting: an export never listens on more than its link needs',
  listen: 'not a setting: an export never listens on more than its link needs',
}

/** Why a key is refused although it may look sensible; null when there is nothing better to say than "unknown". */
export const refusedKeys = (block: Path, key: string): string | null => {
  if (planned.has(key)) return `${key} is not built yet in this version; delete it`
  if (block.length === 0 && key === 'passphrase') return noSecrets
  return Object.hasOwn(reasons, key) ? (reasons[key] ?? null) : null
}

/** A word that is no choice, and why; null for any other. */
export const notBuilt = (path: Path, word: string): string | null => {
  if (path.at(-1) === 'mirror' && /^raid[056]$|^dup$/.test(word))
    return 'is not offered: its failure modes cannot keep the promises; use raid1, raid1c3, raid1c4, raid10 or single'
  return null
}
