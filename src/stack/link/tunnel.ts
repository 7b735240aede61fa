import type { Action } from '../../engine/step.ts'
import { writeAtomic } from '../../host/files.ts'
import { linkFiles, readLinkKey } from '../../keyring/link-keys.ts'
import { linkUnit, tunnelOf, tunnelPort } from '../../names.ts'
import type { LinkOf, Member } from '../../profile/profile.ts'
import type { Supervisor } from '../supervise.ts'
import type { Vault } from '../vault.ts'
import type { Link } from './link.ts'
import { awaitSocket, makeRun, removeSocket, requireProgram } from './pump.ts'

/** What tunnels have in common here: a script that a supervisor keeps running, and an address inside. */
export interface Tunnel {
  readonly vault: Vault
  readonly member: Member
  readonly link: LinkOf<'wireguard' | 'ipsec'>
  readonly supervisor: Supervisor
  readonly needs: readonly string[]
  /** As a person calls it. */
  readonly called: string
  /** What is asked for before: a program and a word that makes it end at once. */
  readonly program: readonly [string, string]
  /** The script, with the facts of this end at its top. */
  readonly script: () => Promise<string>
  /** What a killed one could not take away itself, besides its device and its files. */
  readonly leftovers?: readonly Action[]
}

export const tunnelLink = (tunnel: Tunnel): Pick<Link, 'steps' | 'target'> => {
  const { vault, member, supervisor, needs, called, leftovers = [] } = tunnel
  const { name } = member
  const unit = linkUnit(vault.profile.vault, name)
  const { device, server } = tunnelOf(vault.profile.vault, name)
  const [script, ready] = [vault.paths.linkConfig(name), vault.paths.tunnel(name)]
  return {
    steps: [
      {
        name: `link ${name}`,
        needs,
        probe: () => supervisor.probe(unit),
        up: startTunnel(tunnel),
        settle: [awaitSocket(vault, ready, name, called)],
        down: [
          ...supervisor.stop(unit),
          ...leftovers,
          { on: vault.local, command: { argv: ['ip', 'link', 'del', device] }, ok: [0, 1] },
          ...[ready, script].map((file): Action => removeSocket(vault, file)),
        ],
      },
    ],
    target: async () => ({ kind: 'tcp', host: server, port: tunnelPort }),
  }
}

const startTunnel = (tunnel: Tunnel): readonly Action[] => {
  const { vault, member, link, supervisor, called, program } = tunnel
  const { name } = member
  const { server, client } = tunnelOf(vault.profile.vault, name)
  const [script, ready] = [vault.paths.linkConfig(name), vault.paths.tunnel(name)]
  return [
    makeRun(vault),
    requireProgram(vault, program),
    removeSocket(vault, ready),
    {
      on: vault.local,
      text: `write ${script}: ${called} from ${client} to ${server}, through UDP port ${link.port}`,
      call: async () => {
        for (const file of linkFiles(link)) (await readLinkKey(vault.paths, name, file)).wipe()
        await writeAtomic(script, await tunnel.script())
      },
    },
    ...supervisor.start(linkUnit(vault.profile.vault, name), ['sh', script, 'stay']),
    awaitSocket(vault, ready, name, called),
  ]
}
