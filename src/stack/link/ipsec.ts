import { join } from 'node:path'
import { Exit, Fault } from '../../fault.ts'
import { memberId, tunnelOf } from '../../names.ts'
import type { LinkOf, Member } from '../../profile/profile.ts'
import { ipsecScript } from '../../server/carrier/ipsec.ts'
import type { Supervisor } from '../supervise.ts'
import type { Vault } from '../vault.ts'
import type { Link } from './link.ts'
import { updateFirewall } from './plain.ts'
import { tunnelLink } from './tunnel.ts'

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
  const undo = ['sh', vault.paths.linkConfig(member.name), 'down']
  return {
    ...tunnelLink({
      vault,
      member,
      link,
      supervisor,
      needs,
      called: 'IPsec',
      program: ['swanctl', '--help'],
      script: () => scriptOf(vault, member, link),
      leftovers: [{ on: vault.local, command: { argv: undo }, ok: [0, 2, 127] }],
    }),
    explain: (fault) => explained(vault, member, fault),
  }
}

const folderOf = (vault: Vault, member: string): string => `${vault.paths.tunnel(member)}.d`

const scriptOf = async (vault: Vault, { name }: Member, link: LinkOf<'ipsec'>): Promise<string> => {
  const { vault: called } = vault.profile
  const { device, server, client } = tunnelOf(called, name)
  return ipsecScript({
    device,
    folder: folderOf(vault, name),
    secret: join(vault.paths.linkKeys(name), 'ipsec.secret'),
    side: 'client',
    id: memberId(called, name),
    endpoint: link.address ?? (await vault.address(name)),
    remote: link.port,
    own: client,
    peer: server,
    ready: vault.paths.tunnel(name),
  })
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
