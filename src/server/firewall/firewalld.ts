import { isIP, isIPv6 } from 'node:net'
import type { Action, Finding, Step } from '../../engine/step.ts'
import { Exit, Fault } from '../../fault.ts'
import type { Host } from '../../host/host.ts'
import { run } from '../files.ts'
import type { Site } from '../site.ts'
import { type Admitted, admitted, type Opening } from './firewall.ts'
import { tableBeside } from './nftables.ts'

/**
 * Where firewalld rules: its rich rules let the clients in, in every zone that is in use, now and after a reload; our
 * own table beside it shuts everybody else out, whatever a zone allows. A reload of ours would drop what the
 * administrator set for now only (the rule that lets SSH in, perhaps), and a zone of ours bound to the clients'
 * addresses would take their SSH out of the zone that allows it: neither is done. Rich rules have no name: the receipt
 * lists ours.
 */

/** Where a rule stands: in a zone, in what holds now or in what is loaded at the next reload. */
interface Standing {
  readonly zone: string
  readonly scope: 'now' | 'kept'
  /** As firewalld writes it. */
  readonly rule: string
}

/** What firewalld says of itself. */
export interface Zones {
  readonly running: boolean
  /** Zones that some traffic belongs to: active ones and the default. */
  readonly inUse: readonly string[]
  readonly standing: readonly Standing[]
}

/** @param zones as `readZones` found them before anything was changed */
export const firewalldStep = (site: Site, opening: Opening, zones: Zones): Step => {
  const { own } = site
  const wanted = admitted(opening)
  const before = ourRichRules(site)
  const beside = tableBeside(site, opening, opening.from !== 'anybody')
  const what = (rules: readonly Admitted[]): string[] => [...beside.what, ...rules.map(noted)]
  const stale = before.filter((rule) => !wanted.some((other) => noted(other) === noted(rule)))
  const change: Action[] = [
    own.mark('firewall', 'making', what([...wanted, ...stale])),
    ...beside.install,
    ...missing(zones, wanted).map((one) => command(site.host, zones, 'add', one)),
    ...standingOf(zones, stale).map((one) => command(site.host, zones, 'remove', one)),
    own.mark('firewall', 'made', what(wanted)),
  ]
  return {
    name: 'firewall',
    needs: ['packages'],
    probe: async (): Promise<Finding> => {
      const now = await readZones(site.host)
      if (!now.running) return { is: 'unknown', why: 'firewalld is no longer running' }
      if (!own.get('firewall')) return { is: 'absent' }
      const shut = await beside.probe()
      if (shut.is !== 'present') return shut
      if (missing(now, wanted).length > 0 || standingOf(now, ourStale(site, wanted)).length > 0)
        return { is: 'differs', found: 'the rule names other clients or another port, or is gone' }
      const at = wanted.filter(({ port }) => port === opening.port)
      const who = at.map(({ from }) => (from === 'any' ? 'everybody' : from)).join(', ')
      return { is: 'present', note: `port ${opening.port} only from ${who} (firewalld)` }
    },
    up: change,
    mend: change,
    down: [],
  }
}

/** Takes away the rules that the receipt lists, wherever they stand. */
export const firewalldRemoval = (site: Site, zones: Zones): Action[] =>
  standingOf(zones, ourRichRules(site)).map((one) => command(site.host, zones, 'remove', one))

/** As it stands in the receipt. */
const noted = ({ protocol, port, from }: Admitted): string => `${protocol} ${port} from ${from}`

/** Those of the receipt. */
export const ourRichRules = (site: Pick<Site, 'own'>): Admitted[] =>
  (site.own.get('firewall')?.what ?? []).flatMap((text): Admitted[] => {
    const [, protocol, port, from = ''] = /^(tcp|udp) (\d{1,5}) from (\S+)$/.exec(text) ?? []
    if (from !== 'any' && isIP(from.replace(/\/\d+$/, '')) === 0) return []
    return [{ from, port: Number(port), protocol: protocol === 'udp' ? 'udp' : 'tcp' }]
  })

const ourStale = (site: Site, wanted: readonly Admitted[]): Admitted[] =>
  ourRichRules(site).filter((rule) => !wanted.some((other) => noted(other) === noted(rule)))

/** As firewalld writes it back. */
export const richText = ({ from, port, protocol }: Admitted): string => {
  const family = isIPv6(from.replace(/\/.*$/, '')) ? 'ipv6' : 'ipv4'
  const source = from === 'any' ? '' : ` family="${family}" source address="${from}"`
  return `rule${source} port port="${port}" protocol="${protocol}" accept`
}

const missing = ({ inUse, standing }: Zones, wanted: readonly Admitted[]): Standing[] =>
  inUse.flatMap((zone) =>
    (['now', 'kept'] as const).flatMap((scope) =>
      wanted
        .map((rule) => ({ zone, scope, rule: richText(rule) }))
        .filter((one) => !standing.some((other) => same(one, other))),
    ),
  )

const same = (one: Standing, other: Standing): boolean =>
  one.zone === other.zone && one.scope === other.scope && one.rule === other.rule

const standingOf = ({ standing }: Zones, rules: readonly Admitted[]): Standing[] =>
  standing.filter(({ rule }) => rules.some((ours) => richText(ours) === rule))

/** While it does not run, its files are changed by the tool that is made for that. */
const command = (host: Host, { running }: Zones, verb: 'add' | 'remove', one: Standing): Action => {
  const words = [`--zone=${one.zone}`, `--${verb}-rich-rule=${one.rule}`]
  if (!running) return run(host, 'firewall-offline-cmd', ...words)
  return run(host, 'firewall-cmd', ...(one.scope === 'kept' ? ['--permanent'] : []), ...words)
}

const readScript = `command -v firewall-cmd >/dev/null || exit 0
if firewall-cmd --state >/dev/null 2>&1; then
  echo '= default' && firewall-cmd --get-default-zone && echo '= now' && firewall-cmd --list-all-zones &&
    echo '= kept' && firewall-cmd --permanent --list-all-zones
else
  echo '= kept' && firewall-offline-cmd --list-all-zones
fi`

/** @throws Fault 4 when it does not answer */
export const readZones = async (host: Host): Promise<Zones> => {
  const output = await host.run({ argv: ['sh', '-c', readScript] })
  if (output.code === 0) return parseZones(output.stdout)
  throw new Fault(Exit.unreachable, 'firewalld does not show its zones', {
    member: host.name,
    detail: output.stderr,
  })
}

/** Only names that can stand in a command without surprises are zones. */
const zoneLine = /^([A-Za-z0-9][A-Za-z0-9_/-]{0,31})( \([a-z, ]*active[a-z, ]*\))?(?: \([a-z, ]*\))?$/

export const parseZones = (text: string): Zones => {
  const inUse = new Set<string>()
  const standing: Standing[] = []
  let section = ''
  let zone = ''
  for (const line of text.split('\n')) {
    const [, name = '', active] = zoneLine.exec(line) ?? []
    if (line.startsWith('= ')) section = line.slice(2)
    else if (section === 'default' && name) inUse.add(name)
    else if (name) {
      zone = name
      if (active && section === 'now') inUse.add(name)
    } else if (/^\s+rule .*accept$/.test(line) && zone) {
      standing.push({ zone, scope: section === 'now' ? 'now' : 'kept', rule: line.trim() })
    }
  }
  return { running: inUse.size > 0, inUse: [...inUse], standing }
}
