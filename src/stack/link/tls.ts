import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Action } from '../../engine/step.ts'
import { Exit, Fault } from '../../fault.ts'
import { writeAtomic } from '../../host/files.ts'
import { linkFiles, readLinkKey } from '../../keyring/link-keys.ts'
import { linkUnit, memberId } from '../../names.ts'
import type { LinkOf, Member } from '../../profile/profile.ts'
import type { Supervisor } from '../supervise.ts'
import type { Vault } from '../vault.ts'
import type { Link } from './link.ts'
import { updateFirewall } from './plain.ts'
import { awaitSocket, endPump, makeRun, removeSocket, requireProgram } from './pump.ts'

/**
 * stunnel from a local unix socket to the server's port: TLS 1.3, authenticated on both sides by the keys that
 * provision made. One port is open on the server, to this client's addresses.
 */
export const tlsLink = (
  vault: Vault,
  member: Member,
  link: LinkOf<'tls'>,
  supervisor: Supervisor,
  needs: readonly string[],
): Link => {
  const { name } = member
  const unit = linkUnit(vault.profile.vault, name)
  const socket = vault.paths.socket(name)
  const files = [vault.paths.linkConfig(name), vault.paths.linkLog(name)]
  return {
    steps: [
      {
        name: `link ${name}`,
        needs,
        probe: () => supervisor.probe(unit),
        up: startPump(vault, member, link, supervisor),
        settle: [awaitSocket(vault, socket, name, 'TLS')],
        down: [
          ...endPump(vault, supervisor, unit, socket),
          ...files.map((file): Action => removeSocket(vault, file)),
        ],
      },
    ],
    target: async () => ({ kind: 'unix', path: socket }),
    explain: async (fault) => explained(vault, member, fault, await complaints(vault.paths.linkLog(name))),
  }
}

/** stunnel finds a socket that a dead one left in its way, and has no log of its own for what it says as nobody. */
const program = 'rm -f -- "$1" && exec stunnel "$2" 2>>"$3"'

const startPump = (
  vault: Vault,
  member: Member,
  link: LinkOf<'tls'>,
  supervisor: Supervisor,
): readonly Action[] => {
  const { name } = member
  const [socket, config, log] = [
    vault.paths.socket(name),
    vault.paths.linkConfig(name),
    vault.paths.linkLog(name),
  ]
  const id = memberId(vault.profile.vault, name)
  const pump = ['sh', '-c', program, id, socket, config, log]
  return [
    makeRun(vault),
    requireProgram(vault, ['stunnel', '-version']),
    removeSocket(vault, socket),
    {
      on: vault.local,
      text: `write ${config}: stunnel from ${socket} to port ${link.port}, TLS 1.3, ${link.auth}`,
      call: async () => {
        for (const file of linkFiles(link)) (await readLinkKey(vault.paths, name, file)).wipe()
        const host = link.address ?? (await vault.address(name))
        await writeAtomic(config, stunnelText(id, vault.paths.linkKeys(name), socket, host, link))
      },
    },
    ...supervisor.start(linkUnit(vault.profile.vault, name), pump),
    awaitSocket(vault, socket, name, 'TLS'),
  ]
}

/**
 * Also with a shared key a certificate has to be verified, and none ever passes: without that stunnel would take any
 * server that answers with a certificate instead. `delay` looks the address up anew for every connection.
 */
export const stunnelText = (
  id: string,
  keys: string,
  socket: string,
  host: string,
  link: LinkOf<'tls'>,
): string => {
  const file = (name: string): string => join(keys, name)
  const auth =
    link.auth === 'psk'
      ? [`PSKsecrets = ${file('tls.psk')}`, `CAfile = ${file('nobody.pem')}`]
      : [`cert = ${file('client.pem')}`, `key = ${file('client.key')}`, `CAfile = ${file('ca.pem')}`]
  return [
    ...['foreground = yes', 'pid =', 'syslog = no', 'debug = warning', 'setuid = 65534', 'setgid = 65534'],
    ...['[link]', 'client = yes', `accept = ${socket}`, `connect = ${host}:${link.port}`, 'delay = yes'],
    ...[
      'sslVersionMin = TLSv1.3',
      'sessionResume = no',
      'verifyChain = yes',
      `checkHost = ${id}.server`,
      ...auth,
    ],
    // As for a plain socket: small requests at once, a dead line noticed, an idle one kept.
    ...['TCP_NODELAY=1', 'SO_KEEPALIVE=1', 'TCP_KEEPIDLE=10', 'TCP_KEEPINTVL=5', 'TCP_KEEPCNT=3'].map(
      (option) => `socket = r:${option}`,
    ),
    ...['TIMEOUTconnect = 10', 'TIMEOUTidle = 2147483', 'TIMEOUTclose = 0', ''],
  ].join('\n')
}

/** What stunnel has complained about since somebody asked last; emptied, for an outage may last for weeks. */
const complaints = async (log: string): Promise<string> => {
  const file = await open(log, 'r+').catch(() => null)
  if (file === null) return ''
  try {
    const { size } = await file.stat()
    const bytes = Buffer.alloc(Math.min(size, 8192))
    await file.read(bytes, 0, bytes.length, size - bytes.length)
    await file.truncate()
    return bytes.toString('utf8')
  } finally {
    await file.close()
  }
}

/** The last complaint tells: what the far end is, or why it is not reached. */
export const explained = (vault: Vault, member: Member, fault: Fault, log: string): Fault => {
  if (fault.exit !== Exit.unreachable) return fault
  const { name } = member
  const { vault: called } = vault.profile
  const keys = `cloudvault provision ${called} ${name}   (gives the server the keys of this machine)`
  const known = reasons.find(([pattern]) => pattern.test(log))
  const detail = log.trim().split('\n').slice(-4).join('\n')
  if (!known)
    return fault.with({ member: name, next: updateFirewall(called, name), ...(detail ? { detail } : {}) })
  const stands = 'nothing was sent to it'
  return new Fault(Exit.trust, known[1], { member: name, stands, next: keys, detail })
}

const reasons: readonly (readonly [RegExp, string])[] = [
  [
    /wrong version number|http request|packet length too long/i,
    'what answers at its TLS port does not speak TLS',
  ],
  [
    /certificate has expired|certificate is not yet valid/i,
    'the certificate of its TLS link is too old, or a clock is wrong',
  ],
  [
    /certificate verify failed/i,
    'somebody else answers at its TLS port: the certificate is not of the one we trust',
  ],
  [
    /alert (illegal parameter|decrypt error|handshake failure|unknown psk)/i,
    'its TLS link does not know our key',
  ],
  [
    /alert (unknown ca|bad certificate|certificate|unsupported certificate)/i,
    'its TLS link does not accept our certificate',
  ],
]
