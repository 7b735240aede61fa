import type { Action } from '../../engine/step.ts'
import { writeAtomic } from '../../host/files.ts'
import { knownHostsLine, opensshArguments, type RemoteHost } from '../../host/ssh.ts'
import { farSide, linkUnit, memberId } from '../../names.ts'
import type { Member } from '../../profile/profile.ts'
import type { Supervisor } from '../supervise.ts'
import type { Vault } from '../vault.ts'
import type { Link } from './link.ts'
import { awaitSocket, endPump, makeRun, removeSocket } from './pump.ts'

/**
 * The default link: the system's OpenSSH forwards a local unix socket to the export's unix socket on the server. No
 * port is open there but SSH's own, a changed client address does not matter, and the pinned host key is the only
 * key it accepts.
 */
export const sshLink = (
  vault: Vault,
  member: Member,
  supervisor: Supervisor,
  needs: readonly string[],
): Link => {
  const unit = linkUnit(vault.profile.vault, member.name)
  const socket = vault.paths.socket(member.name)
  const remote = vault.remote(member.name)
  return {
    steps: [
      {
        name: `link ${member.name}`,
        needs,
        probe: () => supervisor.probe(unit),
        up: remote ? startPump(vault, member.name, supervisor, remote) : [],
        settle: [awaitSocket(vault, socket, member.name, 'SSH')],
        down: endPump(vault, supervisor, unit, socket),
      },
    ],
    target: async () => ({ kind: 'unix', path: socket }),
  }
}

const startPump = (
  vault: Vault,
  member: string,
  supervisor: Supervisor,
  remote: RemoteHost,
): readonly Action[] => {
  const { vault: name } = vault.profile
  const alias = memberId(name, member)
  const socket = vault.paths.socket(member)
  const knownHosts = vault.paths.knownHosts(member)
  const pump = [
    ...['ssh', '-N', '-o', 'StreamLocalBindUnlink=yes', '-o', 'StreamLocalBindMask=0177'],
    ...['-L', `${socket}:${farSide(name, member).socket}`],
    ...opensshArguments(remote.resolved, knownHosts, alias, remote.hostKey),
  ]
  return [
    makeRun(vault),
    removeSocket(vault, socket), // one that a dead pump left would pass for the new one's
    {
      on: vault.local,
      text: `write ${knownHosts}: ${remote.hostKey.type} ${remote.hostKey.fingerprint}, the only key it accepts`,
      call: () => writeAtomic(knownHosts, knownHostsLine(alias, remote.hostKey)),
    },
    ...supervisor.start(linkUnit(name, member), pump),
    awaitSocket(vault, socket, member, 'SSH'),
  ]
}
