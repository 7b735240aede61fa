import { isIP } from 'node:net'
import type { Action, Finding, Step } from '../../engine/step.ts'
import { Exit, Fault } from '../../fault.ts'
import type { Host } from '../../host/host.ts'
import { run } from '../files.ts'
import { placeOf, type Site } from '../site.ts'
import { type Admitted, admitted, type Opening } from './firewall.ts'
import { tableBeside } from './nftables.ts'

/**
 * Where ufw rules: it keeps everybody out by its own default, we add who may come in. Rules are known by their
 * comment (cv-<vault>-<member>) and are changed by ufw itself.
 */

/** @param existing our rules as `ourRules` found them before anything was changed */
export const ufwStep = (site: Site, opening: Opening, existing: readonly Admitted[]): Step => {
  const { host, own } = site
  const { id } = placeOf(site)
  const wanted = admitted(opening)
  const beside = tableBeside(site, opening)
  const what = [id, ...beside.what]
  const stale = existing.filter((rule) => !wanted.some((other) => same(rule, other)))
  const missing = wanted.filter((rule) => !existing.some((other) => same(rule, other)))
  const change: Action[] = [
    own.mark('firewall', 'making', what),
    ...beside.install,
    ...missing.map((rule) => run(host, 'ufw', 'allow', ...allow(rule), 'comment', id)),
    ...stale.map((rule) => run(host, 'ufw', '--force', 'delete', 'allow', ...allow(rule))),
    own.mark('firewall', 'made', what),
  ]
  return {
    name: 'firewall',
    needs: ['packages'],
    probe: async () => {
      const shut = await beside.probe()
      return shut.is === 'present' ? probeUfw(host, id, opening.port, wanted) : shut
    },
    up: change,
    mend: change,
    down: [],
  }
}

/** Deletes our rules, known by their comment. */
export const ufwRemoval = (site: Site, existing: readonly Admitted[]): Action[] =>
  existing.map((rule) => run(site.host, 'ufw', '--force', 'delete', 'allow', ...allow(rule)))

const same = (one: Admitted, other: Admitted): boolean =>
  one.from === other.from && one.port === other.port && one.protocol === other.protocol

const allow = (rule: Admitted): string[] => [
  'from',
  rule.from,
  'to',
  'any',
  'port',
  String(rule.port),
  'proto',
  rule.protocol,
]

const probeUfw = async (
  host: Host,
  id: string,
  port: number,
  wanted: readonly Admitted[],
): Promise<Finding> => {
  const status = await host.run({ argv: ['ufw', 'status', 'verbose'] })
  if (status.code !== 0) return { is: 'unknown', why: status.stderr || 'ufw does not answer' }
  if (!/^Status: active$/m.test(status.stdout)) return { is: 'unknown', why: 'ufw is no longer active' }
  if (!/^Default: (deny|reject) \(incoming\)/m.test(status.stdout)) {
    throw new Fault(
      Exit.missing,
      'ufw on the server lets in what no rule names, so it would protect nothing',
      {
        member: host.name,
        stands: 'no port was opened',
        next: 'ufw default deny incoming   (on the server, after making sure that SSH is allowed)',
      },
    )
  }
  const added = await readRules(host)
  const foreign = added.find(
    (line) => !line.includes(`comment '${id}'`) && new RegExp(`\\b${port}\\b`).test(line),
  )
  if (foreign && /^ufw allow/.test(foreign)) {
    throw new Fault(Exit.trust, `another rule of ufw opens port ${port} already: ${foreign}`, {
      member: host.name,
      stands: 'no port was opened by cloudvault',
      next: 'remove that rule, or choose another port in the profile',
    })
  }
  const ours = parseRules(added, id)
  if (ours.length === 0) return { is: 'absent' }
  if (ours.length === wanted.length && ours.every((rule) => wanted.some((other) => same(rule, other)))) {
    const at = wanted.filter((rule) => rule.port === port)
    const who = at.map((rule) => (rule.from === 'any' ? 'everybody' : rule.from)).join(', ')
    return { is: 'present', note: `port ${port} only from ${who} (ufw)` }
  }
  return { is: 'differs', found: 'the rule names other clients or another port' }
}

/** Our rules, by their comment; none when ufw is not there. */
export const ourRules = async (site: Pick<Site, 'host' | 'vault' | 'member'>): Promise<Admitted[]> =>
  parseRules(await readRules(site.host), placeOf(site).id)

const readRules = async (host: Host): Promise<string[]> => {
  const output = await host.run({ argv: ['sh', '-c', '! command -v ufw >/dev/null || ufw show added'] })
  if (output.code !== 0) {
    throw new Fault(Exit.unreachable, 'ufw does not show its rules', {
      member: host.name,
      detail: output.stderr,
    })
  }
  return output.stdout.split('\n').filter((line) => line.startsWith('ufw '))
}

/** As `ufw show added` has them: what is from anybody it writes without "from any to any". */
const ruleLine =
  /^ufw allow (?:from (\S+) to any port (\d+) proto (tcp|udp)|(\d+)\/(udp)) comment '([a-z0-9-]+)'$/

const parseRules = (lines: readonly string[], id: string): Admitted[] =>
  lines.flatMap((line): Admitted[] => {
    const [, from = 'any', port, protocol, openPort, openProtocol, comment] = ruleLine.exec(line) ?? []
    const known = from === 'any' || isIP(from.replace(/\/\d+$/, '')) !== 0
    if (comment !== id || !known) return []
    const udp = (protocol ?? openProtocol) === 'udp'
    return [{ from, port: Number(port ?? openPort), protocol: udp ? 'udp' : 'tcp' }]
  })
