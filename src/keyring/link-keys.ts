import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { commandFailed } from '../engine/action.ts'
import { Exit, Fault } from '../fault.ts'
import type { LocalMachine } from '../host/host.ts'
import { Secret } from '../host/secret.ts'
import { memberId } from '../names.ts'
import type { Link, Member } from '../profile/profile.ts'
import type { VaultPaths } from '../record/paths.ts'

/**
 * The keys by which the two ends of a link know each other. They are made here, kept beside the headers (so that the
 * recovery kit has them), and the server is handed its half. Whoever has them can talk to the export of a session
 * that is open, and still reads ciphertext only.
 */

interface KeySet {
  /** All of them there: the set is whole. */
  readonly files: readonly string[]
  /** What the server gets. */
  readonly far: readonly string[]
  /** Writes the files into an empty private folder. @param id cv-<vault>-<member> */
  readonly make: (local: LocalMachine, folder: string, id: string) => Promise<void>
}

/** Ends years before the authority does; provision makes a new set when little of it is left. */
const certificateDays = 825
const renewBeforeMs = 60 * 24 * 3600 * 1000

const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

const run = async (local: LocalMachine, argv: readonly string[]): Promise<void> => {
  const output = await local.run({ argv })
  if (output.code !== 0) throw commandFailed(local.name, argv, output)
}

/**
 * Besides the key a certificate of an authority that nobody has: its key is never written down. stunnel takes any
 * certificate in the place of the shared key unless it is told to verify one, and this is one that none can have.
 */
const makePsk: KeySet['make'] = async (local, folder, id) => {
  await writeFile(join(folder, 'tls.psk'), `${id}:${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  const nobody = ['-keyout', '/dev/null', '-out', join(folder, 'nobody.pem'), '-days', '36500']
  await run(local, ['openssl', 'req', '-x509', ...curve, ...nobody, '-subj', `/CN=nobody for ${id}`])
}

const extensions = (id: string): string => `[req]
distinguished_name = name
prompt = no
[name]
CN = ${id}
[ca]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:${id}.server
[client]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = DNS:${id}.client
`

/** One authority for each member, which signs two certificates and is then without its key: there is nothing to steal. */
const makeCertificates: KeySet['make'] = async (local, folder, id) => {
  const file = (name: string): string => join(folder, name)
  await writeFile(file('openssl.cnf'), extensions(id), { mode: 0o600 })
  const common = ['openssl', 'req', '-x509', ...curve, '-config', file('openssl.cnf')]
  await run(local, [
    ...[...common, '-extensions', 'ca', '-days', '36500'],
    ...['-keyout', file('ca.key'), '-out', file('ca.pem')],
  ])
  for (const end of ['server', 'client'])
    await run(local, [
      ...[...common, '-extensions', end, '-days', `${certificateDays}`],
      ...['-CA', file('ca.pem'), '-CAkey', file('ca.key')],
      ...['-keyout', file(`${end}.key`), '-out', file(`${end}.pem`)],
    ])
  await rm(file('ca.key'))
  await rm(file('openssl.cnf'))
}

/** Curve25519 as `wg` reads it: 32 bytes in base64. The shared key is mixed in, should the curve fall one day. */
const makeTunnel: KeySet['make'] = async (_local, folder) => {
  const put = (name: string, key: Buffer): Promise<void> =>
    writeFile(join(folder, name), `${key.toString('base64')}\n`, { mode: 0o600 })
  for (const end of ['server', 'client']) {
    const { publicKey, privateKey } = generateKeyPairSync('x25519')
    // The last 32 bytes of either encoding are the key itself.
    await put(`${end}.key`, privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32))
    await put(`${end}.pub`, publicKey.export({ format: 'der', type: 'spki' }).subarray(-32))
  }
  await put('shared.key', randomBytes(32))
}

const psk: KeySet = { files: ['tls.psk', 'nobody.pem'], far: ['tls.psk'], make: makePsk }
const certificates: KeySet = {
  files: ['ca.pem', 'client.pem', 'client.key', 'server.pem', 'server.key'],
  far: ['ca.pem', 'server.pem', 'server.key'],
  make: makeCertificates,
}

const tunnel: KeySet = {
  files: ['client.key', 'client.pub', 'server.key', 'server.pub', 'shared.key'],
  far: ['server.key', 'client.pub', 'shared.key'],
  make: makeTunnel,
}

/** As swanctl reads it. */
const makeSecret: KeySet['make'] = (_local, folder) =>
  writeFile(
    join(folder, 'ipsec.secret'),
    `secrets {\n  ike-link {\n    secret = 0x${randomBytes(32).toString('hex')}\n  }\n}\n`,
    { mode: 0o600 },
  )

const secret: KeySet = { files: ['ipsec.secret'], far: ['ipsec.secret'], make: makeSecret }

const setOf = (link: Link): KeySet | null => {
  switch (link.kind) {
    case 'tls':
      return link.auth === 'psk' ? psk : certificates
    case 'wireguard':
      return tunnel
    case 'ipsec':
      return secret
    case 'ssh':
    case 'plain':
      return null
  }
}

/** Names of the files in the member's folder of keys; none where the link has no keys of its own. */
export const linkFiles = (link: Link): readonly string[] => setOf(link)?.files ?? []

/** Those of them that the server gets. */
export const farLinkFiles = (link: Link): readonly string[] => setOf(link)?.far ?? []

/** @returns `ending`: there, but a certificate is about to be too old, or is */
export const linkKeysState = async (
  paths: VaultPaths,
  { name, link }: Member,
): Promise<'whole' | 'missing' | 'ending'> => {
  for (const file of linkFiles(link)) {
    const text = await readFile(join(paths.linkKeys(name), file)).catch((error: NodeJS.ErrnoException) =>
      error.code === 'ENOENT' ? null : Promise.reject(error),
    )
    if (text === null || text.length === 0) return 'missing'
    if (!/^(client|server)\.pem$/.test(file)) continue
    if (Date.parse(new X509Certificate(text).validTo) - Date.now() < renewBeforeMs) return 'ending'
  }
  return 'whole'
}

/** Makes a new set in the place of whatever is there, all of it or nothing. */
export const makeLinkKeys = async (
  local: LocalMachine,
  paths: VaultPaths,
  vault: string,
  { name, link }: Member,
): Promise<void> => {
  const set = setOf(link)
  if (set === null) return
  const folder = paths.linkKeys(name)
  await mkdir(dirname(folder), { recursive: true, mode: 0o700 })
  const beside = await mkdtemp(`${folder}-`)
  try {
    await set.make(local, beside, memberId(vault, name))
    // openssl leaves certificates open to others.
    for (const file of set.files) await chmod(join(beside, file), 0o600)
    await run(local, ['sync', ...set.files.map((file) => join(beside, file))])
    await rm(folder, { recursive: true, force: true })
    await rename(beside, folder)
  } catch (error) {
    await rm(beside, { recursive: true, force: true })
    throw error
  }
}

/** @throws Fault 3 when it is not here: a machine that has the profile alone */
export const readLinkKey = async (paths: VaultPaths, member: string, file: string): Promise<Secret> =>
  new Secret(
    await readFile(join(paths.linkKeys(member), file)).catch(() => {
      throw new Fault(Exit.missing, `the keys of the link to ${member} are not here`, {
        member,
        next: 'cloudvault restore-kit PATH   (the recovery kit has them), or cloudvault provision   (makes new ones)',
      })
    }),
  )
