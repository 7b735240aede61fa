import { isIPv6 } from 'node:net'
import { commandFailed } from '../../engine/action.ts'
import type { Action, Finding, Step } from '../../engine/step.ts'
import { shellLine } from '../../host/quote.ts'
import { iptablesChain, tunnelPort } from '../../names.ts'
import { putFile, readRemote, run } from '../files.ts'
import { placeOf, type Site } from '../site.ts'
import type { Opening } from './firewall.ts'
import script from './iptables.sh'
import { tableBeside } from './nftables.ts'

/**
 * Where iptables rules: a chain of our own in both families, entered by the first rule of INPUT, lets clients in and
 * drops the rest of the port. A script on the server holds it, and the unit runs it before every start: whoever loads
 * other rules meanwhile cannot leave the port open.
 */

/** The script with its facts at the top. */
export const iptablesScript = (site: Site, { protocol, port, from, inside }: Opening): string => {
  const clients = [...(from === 'anybody' ? [] : from), ...(inside ? [inside.client] : [])]
  const six = clients.filter((client) => isIPv6(client.replace(/\/.*$/, '')))
  const facts = {
    chain: iptablesChain(site.vault, site.member.name),
    name: placeOf(site).id,
    protocol,
    port: String(port),
    four: clients.filter((client) => !six.includes(client)).join(' '),
    six: six.join(' '),
    anybody: from === 'anybody' ? 'yes' : 'no',
    // What came out of the tunnel comes through INPUT again.
    inside: inside?.client ?? '',
    export: inside ? String(tunnelPort) : '',
  }
  const lines = Object.entries(facts).map(
    ([key, value]) => `${key}=${value === '' ? '' : shellLine([value])}`,
  )
  return `#!/bin/sh\n# Made by cloudvault; changed and removed by it.\n${lines.join('\n')}\n${script}`
}

const fileOf = (site: Site): string => `${placeOf(site).etc}/firewall.sh`

export const iptablesStep = (site: Site, opening: Opening): Step => {
  const { host, own } = site
  const file = fileOf(site)
  const text = iptablesScript(site, opening)
  const beside = tableBeside(site, opening)
  const what = [file, ...beside.what]
  const install = [
    own.mark('firewall', 'making', what),
    ...beside.install,
    putFile(host, file, text),
    run(host, 'sh', file, 'load'),
    own.mark('firewall', 'made', what),
  ]
  return {
    name: 'firewall',
    needs: ['packages'],
    probe: async (): Promise<Finding> => {
      const shut = await beside.probe()
      if (shut.is !== 'present') return shut
      const found = await readRemote(host, file)
      if (found === null) return { is: 'absent' }
      if (found !== text) return { is: 'differs', found: 'the rule names other clients or another port' }
      const loaded = await host.run({ argv: ['sh', file, 'check'] })
      if (loaded.code === 1) return { is: 'absent' }
      if (loaded.code !== 0)
        return { is: 'unknown', why: commandFailed(host.name, ['iptables'], loaded).message }
      const who = opening.from === 'anybody' ? 'for everybody' : `only from ${opening.from.join(', ')}`
      return { is: 'present', note: `port ${opening.port} ${who} (iptables)` }
    },
    up: install,
    mend: install,
    down: [],
  }
}

/** Takes chain, rule and file away, if the receipt says that they were made. */
export const iptablesRemoval = (site: Site): Action[] => {
  const file = fileOf(site)
  if (!site.own.get('firewall')?.what.includes(file)) return []
  // Our own text, not the file's: that may be gone, or half of it.
  const text = iptablesScript(site, { protocol: 'tcp', port: 1, from: [] })
  return [
    { on: site.host, command: { argv: ['sh', '-s', 'remove'], input: text } },
    run(site.host, 'rm', '-f', '--', file),
  ]
}
