import { isIPv6 } from 'node:net'
import { commandFailed } from '../../engine/action.ts'
import type { Action, Finding, Step } from '../../engine/step.ts'
import { nftTable } from '../../names.ts'
import { putFile, readRemote, run } from '../files.ts'
import { placeOf, type Site } from '../site.ts'
import type { Opening } from './firewall.ts'

/**
 * A table of our own that drops everything to one port but the clients. Its chain comes before every usual one; a
 * drop is final whatever other tables say. The unit loads the file again before every start, so the port never
 * stands open without it.
 */
export const nftablesStep = (site: Site, opening: Opening): Step => {
  const what = [nftFile(site)]
  const install = [
    site.own.mark('firewall', 'making', what),
    ...nftablesInstall(site, opening),
    site.own.mark('firewall', 'made', what),
  ]
  return {
    name: 'firewall',
    needs: ['packages'],
    probe: () => nftablesProbe(site, opening),
    up: install,
    mend: install,
    down: [],
  }
}

export const nftFile = (site: Site): string => `${placeOf(site).etc}/firewall.nft`

export const nftablesInstall = (site: Site, opening: Opening): Action[] => {
  const text = rules(nftTable(site.vault, site.member.name), opening)
  return [putFile(site.host, nftFile(site), text), run(site.host, 'nft', '-f', nftFile(site))]
}

export const nftablesProbe = async (site: Site, opening: Opening): Promise<Finding> => {
  const { host } = site
  const table = nftTable(site.vault, site.member.name)
  const found = await readRemote(host, nftFile(site))
  if (found === null) return { is: 'absent' }
  if (found !== rules(table, opening))
    return { is: 'differs', found: 'the rule names other clients or another port' }
  const loaded = await host.run({ argv: ['nft', 'list', 'table', 'inet', table] })
  if (loaded.code === 0)
    return { is: 'present', note: `port ${opening.port} only from ${site.clients.join(', ')}` }
  if (/No such file or directory/.test(loaded.stderr)) return { is: 'absent' }
  return { is: 'unknown', why: commandFailed(host.name, ['nft'], loaded).message }
}

/** Our table beside another firewall, which lets in and does not keep out what we want kept out. */
export const tableBeside = (site: Site, opening: Opening, wanted = opening.inside !== undefined) => ({
  what: wanted ? [nftFile(site)] : [],
  install: wanted ? nftablesInstall(site, opening) : [],
  probe: async (): Promise<Finding> => (wanted ? nftablesProbe(site, opening) : { is: 'present' }),
})

/** Takes table and file away, whatever of them is there. */
export const nftablesRemoval = (site: Site): Action[] => {
  const table = nftTable(site.vault, site.member.name)
  const gone = '! nft list table inet "$1" >/dev/null 2>&1 || nft delete table inet "$1"'
  return [run(site.host, 'sh', '-c', gone, 'nft', table), run(site.host, 'rm', '-f', '--', nftFile(site))]
}

/** Replaces the table as one transaction: made empty if missing, deleted, made anew. */
export const rules = (table: string, { protocol, port, from, shut, inside }: Opening): string => {
  const clients = from === 'anybody' ? [] : from
  const six = clients.filter((client) => isIPv6(client.replace(/\/.*$/, '')))
  const four = clients.filter((client) => !six.includes(client))
  const accept = (family: string, list: readonly string[]): string[] =>
    list.length > 0 ? [`    ${protocol} dport ${port} ${family} saddr { ${list.join(', ')} } accept`] : []
  return [
    `table inet ${table}`,
    `delete table inet ${table}`,
    `table inet ${table} {`,
    '  chain input {',
    '    type filter hook input priority -200; policy accept;',
    ...accept('ip', four),
    ...accept('ip6', six),
    `    ${protocol} dport ${port} drop`,
    ...(shut ? [`    ${protocol} dport ${shut} drop`] : []),
    // strongSwan's own device where the kernel has no ESP; else the kernel says that it was encrypted.
    ...(inside ? [`    ip6 daddr ${inside.server} iifname != "ipsec*" meta ipsec missing drop`] : []),
    '  }',
    '}',
    '',
  ].join('\n')
}
