import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import type { Action } from '../../engine/step.ts'
import { Exit, Fault } from '../../fault.ts'
import { writeAtomic } from '../../host/files.ts'
import { linkFiles, readLinkKey } from '../../keyring/link-keys.ts'
import { linkUnit, tunnelOf } from '../../names.ts'
import type { LinkOf, Member } from '../../profile/profile.ts'
import { tunnelScript } from '../../server/carrier/wireguard.ts'
import { tunnelPort } from '../../server/carrier.ts'
import type { Supervisor } from '../supervise.ts'
import type { Vault } from '../vault.ts'
import type { Link } from './link.ts'
import { awaitSocket, makeRun, removeSocket, requireProgram } from './pump.ts'

/**
 * A WireGuard tunnel to the server, by the kernel where it has one and by wireguard-go where not; the export answers
 * inside. This machine's address may change at any time: the next packet tells the server the new one.
 */
export const wireguardLink = (
  vault: Vault,
  member: Member,
  link: LinkOf<'wireguard'>,
  supervisor: Supervisor,
  needs: readonly string[],
): Link => {
  const { name } = member
  const unit = linkUnit(vault.profile.vault, name)
  const { device, server } = tunnelOf(vault.profile.vault, name)
  const ready = vault.paths.tunnel(name)
  return {
    steps: [
      {
        name: `link ${name}`,
        needs,
        probe: () => supervisor.probe(unit),
        up: startTunnel(vault, member, link, supervisor),
        settle: [awaitSocket(vault, ready, name, 'WireGuard')],
        down: [
          ...supervisor.stop(unit),
          // What a killed one could not take away itself.
          { on: vault.local, command: { argv: ['ip', 'link', 'del', device] }, ok: [0, 1] },
          ...[ready, vault.paths.linkConfig(name)].map((file): Action => removeSocket(vault, file)),
        ],
      },
    ],
    target: async () => ({ kind: 'tcp', host: server, port: tunnelPort }),
    explain: (fault) => explained(vault, member, link, fault),
  }
}

const startTunnel = (
  vault: Vault,
  member: Member,
  link: LinkOf<'wireguard'>,
  supervisor: Supervisor,
): readonly Action[] => {
  const { name } = member
  const { device, server, client } = tunnelOf(vault.profile.vault, name)
  const [script, ready] = [vault.paths.linkConfig(name), vault.paths.tunnel(name)]
  const key = (file: string): string => join(vault.paths.linkKeys(name), file)
  return [
    makeRun(vault),
    requireProgram(vault, ['wg', '--version']),
    removeSocket(vault, ready),
    {
      on: vault.local,
      text: `write ${script}: ${device}, from ${client} to ${server}, through UDP port ${link.port}`,
      call: async () => {
        for (const file of linkFiles(link)) (await readLinkKey(vault.paths, name, file)).wipe()
        const host = link.address ?? (await vault.address(name))
        const text = tunnelScript({
          device,
          private: key('client.key'),
          public: key('server.pub'),
          shared: key('shared.key'),
          endpoint: isIPv6(host) ? `[${host}]:${link.port}` : `${host}:${link.port}`,
          own: client,
          peer: server,
          ready,
        })
        await writeAtomic(script, text)
      },
    },
    ...supervisor.start(linkUnit(vault.profile.vault, name), ['sh', script, 'stay']),
    awaitSocket(vault, ready, name, 'WireGuard'),
  ]
}

/** WireGuard answers nobody whose key it does not know, so that a wrong key looks like a port that is shut. */
const explained = async (
  vault: Vault,
  member: Member,
  link: LinkOf<'wireguard'>,
  fault: Fault,
): Promise<Fault> => {
  if (fault.exit !== Exit.unreachable) return fault
  const { vault: called } = vault.profile
  const { device } = tunnelOf(called, member.name)
  const shown = await vault.local.run({ argv: ['wg', 'show', device, 'latest-handshakes'] })
  const met = /\t[1-9]\d*$/m.test(shown.stdout)
  const next = `cloudvault provision ${called} ${member.name}   (gives the server the keys of this machine)`
  return met
    ? fault.with({ member: member.name })
    : new Fault(
        Exit.unreachable,
        `no WireGuard handshake: UDP port ${link.port} is not reached, or the server has other keys`,
        { member: member.name, next, ...(fault.details.detail ? { detail: fault.details.detail } : {}) },
      )
}
