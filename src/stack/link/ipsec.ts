import { join } from 'node:path'
import type { Action } from '../../engine/step.ts'
import { Exit, Fault } from '../../fault.ts'
import { writeAtomic } from '../../host/files.ts'
import { linkFiles, readLinkKey } from '../../keyring/link-keys.ts'
import { linkUnit, memberId, tunnelOf } from '../../names.ts'
import type { LinkOf, Member } from '../../profile/profile.ts'
import { ipsecScript } from '../../server/carrier/ipsec.ts'
import { tunnelPort } from '../../server/carrier.ts'
import type { Supervisor } from '../supervise.ts'
import type { Vault } from '../vault.ts'
import type { Link } from './link.ts'
import { updateFirewall } from './plain.ts'
import { awaitSocket, makeRun, removeSocket, requireProgram } from './pump.ts'

/**
 * An IPsec tunnel to the server by a strongSwan of our own: IKEv2 with a shared key, ESP inside UDP, by the kernel where
 * it can.
 */
export const ipsecLink = (
  vault: Vault,
  member: Member,
  link: LinkOf<'ipsec'>,
  supervisor: Supervisor,
  needs: readonly string[],
): Link => {
  const { name } = member
  const unit = linkUnit(vault.profile.vault, name)
  const { device, server } = tunnelOf(vault.profile.vault, name)
  const ready = vault.paths.tunnel(name)
  const script = vault.paths.linkConfig(name)
  return {
    steps: [
      {
        name: `link ${name}`,
        needs,
        probe: () => supervisor.probe(unit),
        up: startTunnel(vault, member, link, supervisor),
        settle: [awaitSocket(vault, ready, name, 'IPsec')],
        down: [
          ...supervisor.stop(unit),
          // What a killed one could not take away itself.
          { on: vault.local, command: { argv: ['sh', script, 'down'] }, ok: [0, 2, 127] },
          { on: vault.local, command: { argv: ['ip', 'link', 'del', device] }, ok: [0, 1] },
          ...[ready, script].map((file): Action => removeSocket(vault, file)),
        ],
      },
    ],
    target: async () => ({ kind: 'tcp', host: server, port: tunnelPort }),
    explain: (fault) => explained(vault, member, fault),
  }
}

const folderOf = (vault: Vault, member: string): string => `${vault.paths.tunnel(member)}.d`

const startTunnel = (
  vault: Vault,
  member: Member,
  link: LinkOf<'ipsec'>,
  supervisor: Supervisor,
): readonly Action[] => {
  const { name } = member
  const { vault: called } = vault.profile
  const { device, server, client } = tunnelOf(called, name)
  const [script, ready] = [vault.paths.linkConfig(name), vault.paths.tunnel(name)]
  return [
    makeRun(vault),
    requireProgram(vault, ['swanctl', '--help']),
    removeSocket(vault, ready),
    {
      on: vault.local,
      text: `write ${script}: strongSwan, from ${client} to ${server}, through UDP port ${link.port}`,
      call: async () => {
        for (const file of linkFiles(link)) (await readLinkKey(vault.paths, name, file)).wipe()
        const text = ipsecScript({
          device,
          folder: folderOf(vault, name),
          secret: join(vault.paths.linkKeys(name), 'ipsec.secret'),
          side: 'client',
          id: memberId(called, name),
          endpoint: link.address ?? (await vault.address(name)),
          remote: link.port,
          own: client,
          peer: server,
          ready,
        })
        await writeAtomic(script, text)
      },
    },
    ...supervisor.start(linkUnit(called, name), ['sh', script, 'stay']),
    awaitSocket(vault, ready, name, 'IPsec'),
  ]
}

/** strongSwan is asked to try once more, and says what is in the way. */
const explained = async (vault: Vault, member: Member, fault: Fault): Promise<Fault> => {
  if (fault.exit !== Exit.unreachable) return fault
  const { vault: called } = vault.profile
  const { name } = member
  const uri = `unix://${folderOf(vault, name)}/vici`
  const argv = ['swanctl', '--initiate', '--child', 'link', '--uri', uri, '--timeout', '10']
  const tried = await vault.local.run({ argv, deadline: 20_000 }).catch(() => null)
  const said = tried === null ? '' : tried.stdout + tried.stderr
  const detail = said.trim().split('\n').slice(-4).join('\n')
  if (!/AUTHENTICATION_FAILED|MAC mismatched|authentication of .* failed/i.test(said))
    return fault.with({ member: name, next: updateFirewall(called, name), ...(detail ? { detail } : {}) })
  return new Fault(Exit.trust, 'its IPsec link does not know our key', {
    member: name,
    stands: 'nothing was sent to it',
    next: `cloudvault provision ${called} ${name}   (gives the server the keys of this machine)`,
    detail,
  })
}
