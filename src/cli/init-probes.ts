import { Exit, Fault } from '../fault.ts'
import { connectSsh, type RemoteHost, resolveSsh } from '../host/ssh.ts'
import type { Reached, ReachRequest, Unreached, WizardProbes } from './init/servers.ts'
import type { World } from './world.ts'

/**
 * The wizard's look at a real server: SSH, host key, room, rights and identity of the machine. Reads only; the
 * connection is closed before the next question.
 */

/** One attempt to connect and log in. */
const connectMs = 20_000
/** Each of the few commands; together with the connection under a minute. */
const commandMs = 15_000

/** Probes that go over the network, as the user who typed the command. */
export const networkProbes = (world: Pick<World, 'local' | 'env' | 'signal'>): WizardProbes => ({
  reach: async (target, request) => {
    let shown: string | undefined
    try {
      const resolved = await resolveSsh(world.local, target, world.env)
      const server = await connectSsh(world.local, resolved, {
        name: request.name,
        deadlineMs: connectMs,
        signal: world.signal,
        ...(request.pin ? { pin: request.pin } : {}),
        onUnknownKey: (fingerprint, type) => {
          shown = fingerprint
          return request.acceptKey(fingerprint, type)
        },
      })
      try {
        return await lookAround(server, request, shown !== undefined)
      } finally {
        await server.close()
      }
    } catch (error) {
      return unreached(error, shown)
    }
  },
})

/** Expected failures are answers here; an interruption and a bug are not. */
const unreached = (error: unknown, shown: string | undefined): Unreached => {
  if (!(error instanceof Fault) || error.exit === Exit.interrupted) throw error
  const { detail } = error.details
  const declined = shown !== undefined && error.exit === Exit.trust
  const next = declined
    ? `compare it with the provider's console, then add host-key=${shown} to its --member`
    : error.details.next
  return { error: error.message, exit: error.exit, ...(detail ? { detail } : {}), ...(next ? { next } : {}) }
}

/**
 * Four lines: boot id, name of the system, free KiB where the disk will be (or in the nearest directory above that
 * exists), user id. The boot id is one per running kernel, and cloned images do not share it as they do machine-id
 * and host keys.
 */
const script = `
cat /proc/sys/kernel/random/boot_id
(. /etc/os-release 2>/dev/null && printf '%s\\n' "$PRETTY_NAME") || uname -sr
d=$1; n=0
while [ ! -d "$d" ] && [ $n -lt 64 ]; do d=$(dirname "$d"); n=$((n+1)); done
df -Pk "$d" | awk 'END { print $(NF-2) }'
id -u
`

const lookAround = async (
  server: RemoteHost,
  request: ReachRequest,
  asked: boolean,
): Promise<Reached | Unreached> => {
  const output = await server.run({
    argv: ['sh', '-c', script, 'sh', request.directory],
    root: false,
    deadline: commandMs,
  })
  const [hostId = '', os = '', free = '', uid = ''] = output.stdout.split('\n')
  if (output.code !== 0 || hostId === '' || !/^\d+$/.test(free)) {
    const error = 'the server answers, but not as a Linux machine would'
    return { error, exit: Exit.unreachable, detail: output.stderr || output.stdout }
  }
  const isRoot = uid.trim() === '0'
  return {
    fingerprint: server.hostKey.fingerprint,
    hostKeyType: server.hostKey.type,
    keyFrom: keySource(server, request, asked),
    freeBytes: Number(free) * 1024,
    os: os || 'Linux',
    user: server.user,
    isRoot,
    canRoot: isRoot || (await server.run({ argv: ['true'], root: true, deadline: commandMs })).code === 0,
    hostId,
  }
}

const keySource = (server: RemoteHost, request: ReachRequest, asked: boolean): Reached['keyFrom'] => {
  if (request.pin) return 'pin'
  return server.trustedByKnownHosts && !asked ? 'known_hosts' : 'person'
}
