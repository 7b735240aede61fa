/**
 * What lab tests share: one lab per file, taken down after it, and a few sentences a test says often.
 * KEEP=1 leaves the lab standing (`cloudvault lab status`, `lab shell`, `lab down`).
 */
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect } from 'vitest'
import { type Lab, type LabOptions, type LabServer, type Result, startLab } from '../../lab/index.ts'

const keep = process.env.KEEP === '1'

/** Starts one lab for all tests of the file; call it at the top. The returned function gives the running lab. */
export const useLab = (options: LabOptions): (() => Lab) => {
  let lab: Lab | undefined
  beforeAll(async () => {
    lab = await startLab({ log: (line) => console.log(`lab: ${line}`), ...options, persistent: keep })
  })
  afterAll(async () => {
    if (lab === undefined) return
    if (keep) console.log(`lab ${lab.id} stays: ${lab.dir}`)
    else await lab.stop()
  })
  return () => {
    if (lab === undefined) throw new Error('the lab is there only inside tests and hooks')
    return lab
  }
}

/** Writes a profile into the client, mode 0600, and returns its path there. */
export const writeProfile = async (lab: Lab, yaml: string, file = '/root/vault.yaml'): Promise<string> => {
  await lab.client.putFile(file, yaml, 0o600)
  return file
}

/** The passphrase of every vault in these tests; it must never be found anywhere but in the file it is read from. */
export const canary = 'canary-passphrase-5f0c1e'

export interface VaultOptions {
  /** Default `two-servers`. */
  readonly shipped?: string
  readonly size?: string
  /** More text changes: from → to. */
  readonly changes?: readonly (readonly [string, string])[]
}

/**
 * A shipped profile made fit for the lab: small disks, a passphrase file, and a cheap key derivation by the profile's
 * own setting. Host keys are pinned as a person would have pinned them.
 */
export const labProfile = async (lab: Lab, options: VaultOptions = {}): Promise<string> => {
  const shipped = await readFile(`profiles/${options.shipped ?? 'two-servers'}.yaml`, 'utf8')
  let text = shipped
    .replaceAll(/size: \d+GiB/g, `size: ${options.size ?? '512MiB'}`)
    .replace(
      /passphrase: \{ prompt: true \}.*/,
      'passphrase: { file: /root/photos.pass }\n  kdf: { algorithm: pbkdf2, iterations: 1000 }',
    )
  for (const server of lab.servers) {
    const pinned = `$1\n    host_key: ${server.hostKeyFingerprint}`
    text = text.replace(new RegExp(`(ssh: vps-${server.name}\\b.*)`), pinned)
  }
  for (const [from, to] of options.changes ?? []) text = text.replaceAll(from, to)
  await lab.client.putFile('/root/photos.pass', canary, 0o600)
  return writeProfile(lab, text, '/etc/cloudvault/photos.yaml')
}

/** Runs a verb in the client and insists on its exit code; a surprise is shown with everything it printed. */
export const verb = async (lab: Lab, args: readonly string[], code = 0): Promise<Result> => {
  const result = await lab.client.cloudvault(args)
  if (result.code !== code) {
    throw new Error(
      `cloudvault ${args.join(' ')}: exit ${result.code}, not ${code}\n${result.stdout}\n${result.stderr}`,
    )
  }
  return result
}

/** What a vault leaves on the client when it stands; empty when it is really down. */
export const leftOnClient = async (lab: Lab): Promise<string[]> => {
  const script = `
    for d in /sys/block/nbd*; do [ -e $d/pid ] && echo "connected $(basename $d)"; done
    ls /dev/mapper | grep ^cv- | sed 's/^/mapping /'
    grep /vault/ /proc/self/mountinfo | sed 's/^/mounted /'
    ls /sys/class/net | grep ^cv | sed 's/^/tunnel /'
    ps -eo args | grep -E 'ssh -N|^stunnel|^wireguard-go|^charon|cloudvault.js monitor' | grep -v grep | sed 's/^/process /'
    ls /run/cloudvault/*/*.sock /run/cloudvault/*/*.pid 2>/dev/null | sed 's/^/file /'
    true`
  return lines((await lab.client.run(script)).stdout)
}

/** What a session leaves on a server while it is held. */
export const leftOnServer = async (server: LabServer): Promise<string[]> => {
  const script = `
    systemctl list-units --plain --no-legend --state=active,activating,failed 'cv-*' | sed 's/^/unit /'
    ls -d /run/cloudvault/cv-*/ 2>/dev/null | sed 's/^/run /'
    ps -eo args | grep -E '^(/usr/(s)?bin/)?(nbd-server|nbdkit|stunnel|wireguard-go|charon-systemd) ' | grep -v grep | sed 's/^/process /'
    ss -Hltn | awk '{print $4}' | grep -v ':22$' | sed 's/^/port /'
    true`
  return lines((await server.run(script)).stdout)
}

/** Nothing of a vault stands, on the client or on a server that runs. */
export const nothingLeft = async (lab: Lab): Promise<void> => {
  expect(await leftOnClient(lab)).toEqual([])
  for (const server of lab.servers) if (server.running) expect(await leftOnServer(server)).toEqual([])
}

/** `up` refuses with this exit code and leaves nothing. @returns all that it said */
export const refusedUp = async (lab: Lab, code: number, ...flags: string[]): Promise<string> => {
  const { stdout, stderr } = await verb(lab, ['up', 'photos', ...flags], code)
  await nothingLeft(lab)
  return stdout + stderr
}

const lines = (text: string): string[] => text.split('\n').filter((line) => line.trim() !== '')

/** The 64 bytes that cryptsetup prints for whoever has what opens a header or a keyring. */
export const volumeKey = async (lab: Lab, file: string, keyFile: string): Promise<Buffer> => {
  const dump = await lab.client.run(
    `cryptsetup luksDump --batch-mode --dump-volume-key --key-file=${keyFile} ${file} | sed -n '/MK dump:/,$p' | sed 's/MK dump://' | tr -d ' \\t\\n'`,
  )
  return Buffer.from(dump.stdout, 'hex')
}
