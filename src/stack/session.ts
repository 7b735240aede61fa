import type { Finding, Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import { memberId } from '../names.ts'
import type { Member } from '../profile/profile.ts'
import { releaseCommand, releaseFailed, showSession, takeCommand, takeFailed } from '../server/session.ts'
import { findByBackend } from './attach/sysfs.ts'
import type { Vault } from './vault.ts'

/**
 * The right to write to a member. Taken before anything else, given back after everything else. A session held by
 * another machine stops `up` with its holder and age: Btrfs itself would mount the same disk twice without a word.
 */
export const session = (vault: Vault, member: Member, takeOver: boolean): Step => {
  const { vault: name } = vault.profile
  const host = vault.server(member.name)
  const nonce = vault.nonce(member.name)
  const request = { vault: name, member: member.name, holder: vault.holder, nonce, takeOver }
  return {
    name: `session ${member.name}`,
    needs: [],
    probe: () => probeSession(vault, member.name, takeOver),
    up: [
      {
        on: vault.local,
        text: `no device of ${member.name} may be attached: its server has forgotten the session`,
        call: () => refuseForgotten(vault, member.name),
      },
      {
        on: host,
        command: takeCommand(request, vault.remote(member.name)?.user ?? 'root'),
        explain: (output) => takeFailed(name, member.name, output),
      },
    ],
    down: [
      {
        on: host,
        command: releaseCommand(name, member.name, nonce),
        ok: [0, 6], // somebody else has it: nothing of ours is left there
        explain: (output) => releaseFailed(name, member.name, output),
      },
    ],
  }
}

const probeSession = async (vault: Vault, member: string, takeOver: boolean): Promise<Finding> => {
  const { vault: name } = vault.profile
  const found = await showSession(vault.server(member), name, member)
  if (!found.held) return { is: 'absent' }
  if (found.holder === vault.holder) {
    return found.serving && found.nonce === vault.nonce(member) ? { is: 'present' } : { is: 'absent' }
  }
  if (takeOver) return { is: 'absent' }
  throw new Fault(Exit.busy, `the session of ${member} is held by ${found.holder} since ${found.since}`, {
    member,
    next: `cloudvault down ${name}   (there), or cloudvault up ${name} --take-over   (fences it out first)`,
  })
}

/**
 * A device that stands without its session: the server was rebooted. What it had acknowledged but not written may be
 * gone, and a new connection under the mounted filesystem would hide that.
 */
const refuseForgotten = async (vault: Vault, member: string): Promise<void> => {
  const { vault: name } = vault.profile
  if ((await findByBackend(memberId(name, member))) === null) return
  throw new Fault(
    Exit.decide,
    'its server has forgotten the session (it was rebooted, or somebody ended it)',
    {
      member,
      stands: 'the vault is as it was; this member is not written to',
      next: `cloudvault down ${name}, then cloudvault up ${name}   (which compares what the servers hold)`,
    },
  )
}
