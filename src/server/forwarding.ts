import type { Finding, Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { RemoteHost } from '../host/ssh.ts'
import { readRemote } from './files.ts'
import { showSession } from './session.ts'
import { placeOf, type Site } from './site.ts'

/** The last looks: whether the way to the export will be open when a session is taken, and is shut until then. */

/** Link ssh: whether the server's sshd forwards to a unix socket at all. */
export const forwardingStep = (site: Site, remote: Pick<RemoteHost, 'user' | 'clientAddress'>): Step => ({
  name: 'forwarding',
  needs: [],
  probe: async (): Promise<Finding> => {
    const who = `user=${remote.user},host=${remote.clientAddress},addr=${remote.clientAddress}`
    const script = 's=$(command -v sshd) || exit 0; "$s" -T -C "$1"'
    const output = await site.host.run({ argv: ['sh', '-c', script, 'sshd', who] })
    const says = (line: string): boolean => output.stdout.split('\n').includes(line)
    const streams = ['yes', 'all', 'local'].some((value) => says(`allowstreamlocalforwarding ${value}`))
    if (output.code !== 0 || output.stdout === '') return { is: 'present', note: 'sshd does not say' }
    if (streams && !says('disableforwarding yes')) return { is: 'present', note: 'sshd allows it' }
    throw new Fault(Exit.missing, 'sshd on the server does not forward to a unix socket', {
      member: site.member.name,
      next: 'AllowStreamLocalForwarding yes, DisableForwarding no   (in /etc/ssh/sshd_config there)',
    })
  },
  up: [],
  down: [],
})

/** A link that opens a port: nothing listens on the port until a session is taken. */
export const closedStep = (site: Site, port: number): Step => ({
  name: 'port',
  needs: ['export'],
  probe: async (): Promise<Finding> => {
    const known = (await readRemote(site.host, `${placeOf(site).etc}/export`)) !== null
    const session = known ? await showSession(site.host, site.vault, site.member.name) : { held: false }
    if (session.held) return { is: 'present', note: `port ${port} serves a session` }
    const output = await site.host.run({
      argv: ['sh', '-c', 'cat /proc/net/tcp /proc/net/tcp6 2>/dev/null; true'],
    })
    if (!listens(output.stdout, port))
      return { is: 'present', note: `port ${port} is shut until a session is taken` }
    throw new Fault(Exit.busy, `something else listens on port ${port} of the server`, {
      member: site.member.name,
      next: `ss -ltnp 'sport = :${port}'   (on the server), or choose another port in the profile`,
    })
  },
  up: [],
  down: [],
})

/** Looks for a listening socket (state 0A) in the kernel's own table. */
export const listens = (table: string, port: number): boolean => {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  return table.split('\n').some((line) => {
    const [, local = '', , state] = line.trim().split(/\s+/)
    return state === '0A' && local.endsWith(`:${hex}`)
  })
}
