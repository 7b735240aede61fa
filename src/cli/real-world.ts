import { realpathSync } from 'node:fs'
import { perform } from '../engine/action.ts'
import { interruption } from '../engine/interrupt.ts'
import { Exit, Fault } from '../fault.ts'
import type { LocalMachine } from '../host/host.ts'
import { LocalHost } from '../host/local.ts'
import type { Member, Profile } from '../profile/profile.ts'
import { plainWorld } from './plain-world.ts'
import type { World } from './world.ts'

/** The world as it is: this machine, servers over SSH, this terminal, these signals. */

/** An SSH handshake with a small server far away on a bad day. */
const connectDeadline = 20_000

/** @param local this machine; a test wraps it to see, or to fail, every command */
export const realWorld = (local: LocalMachine = new LocalHost(process.env)): World => {
  let quiet = false
  const signal = interruption((text) => {
    process.stderr.write(quiet ? '\n' : `\n${text}\n`)
  })
  return {
    ...plainWorld(),
    local,
    signal,
    quiet: () => {
      quiet = true
    },
    perform,
    uid: process.geteuid?.() ?? 0,
    self: [process.execPath, realpathSync(process.argv[1] ?? 'cloudvault')],
    connect: async (profile, member, deadlineMs = connectDeadline) => {
      const { connectSsh, resolveSsh } = await import('../host/ssh.ts')
      const pin = pinOf(profile, member)
      const resolved = await resolveSsh(local, member.ssh, process.env)
      return connectSsh(local, resolved, { name: member.name, pin, deadlineMs, signal })
    },
  }
}

const pinOf = (
  profile: Pick<Profile, 'vault' | 'path'>,
  member: Pick<Member, 'name' | 'hostKey'>,
): string => {
  if (member.hostKey) return member.hostKey
  throw new Fault(Exit.trust, `the host key of ${member.name} is not pinned in ${profile.path}`, {
    member: member.name,
    stands: 'the server was not contacted',
    next: `cloudvault provision ${profile.vault} ${member.name}   (shows the key and pins it)`,
  })
}
