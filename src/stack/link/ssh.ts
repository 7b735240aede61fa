import { mkdir, rm, stat } from 'node:fs/promises'
import type { Action } from '../../engine/step.ts'
import { Exit, Fault } from '../../fault.ts'
import { writeAtomic } from '../../host/files.ts'
import { knownHostsLine, opensshArguments, type RemoteHost } from '../../host/ssh.ts'
import { farSide, linkUnit, memberId } from '../../names.ts'
import type { Member } from '../../profile/profile.ts'
import type { Supervisor } from '../supervise.ts'
import type { Vault } from '../vault.ts'
import type { Link } from './link.ts'

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
        settle: [awaitSocket(vault, socket, member.name)],
        down: endPump(vault, supervisor, unit, socket),
      },
    ],
    target: async () => ({ kind: 'unix', path: socket }),
  }
}

/**
 * The socket goes first: once the pump is gone, nobody looks for it any more. And it goes again at last: a pump that
 * is stopped while it still shakes hands makes it in between, and ssh leaves it when it ends.
 */
const endPump = (vault: Vault, supervisor: Supervisor, unit: string, socket: string): readonly Action[] => [
  removeSocket(vault, socket),
  ...supervisor.stop(unit),
  removeSocket(vault, socket),
]

const removeSocket = (vault: Vault, socket: string): Action => ({
  on: vault.local,
  text: `rm -f ${socket}`,
  call: () => rm(socket, { force: true }),
})

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
    {
      on: vault.local,
      text: `mkdir -p -m 0700 ${vault.paths.run}`,
      call: () => mkdir(vault.paths.run, { recursive: true, mode: 0o700 }),
    },
    removeSocket(vault, socket), // one that a dead pump left would pass for the new one's
    {
      on: vault.local,
      text: `write ${knownHosts}: ${remote.hostKey.type} ${remote.hostKey.fingerprint}, the only key it accepts`,
      call: () => writeAtomic(knownHosts, knownHostsLine(alias, remote.hostKey)),
    },
    ...supervisor.start(linkUnit(name, member), pump),
    awaitSocket(vault, socket, member),
  ]
}

const awaitSocket = (vault: Vault, socket: string, member: string): Action => ({
  on: vault.local,
  text: `wait up to 20 s for ${socket}`,
  call: () => appears(socket, member),
})

/** 20 s: an SSH handshake takes 2 to 5 s on a slow single board. */
const appears = async (socket: string, member: string): Promise<void> => {
  for (let waited = 0; waited < 200; waited++) {
    if (
      await stat(socket).then(
        (facts) => facts.isSocket(),
        () => false,
      )
    )
      return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Fault(Exit.unreachable, `the SSH link to ${member} did not come up within 20 s`, { member })
}
