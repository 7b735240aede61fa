/** From a target to the addresses to try: names go through the system's resolver, under the dial's own deadline. */
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Exit, Fault } from '../../fault.ts'
import { type Address, encodeInet, encodeUnix } from './sockaddr.ts'
import type { Deadline, Target } from './socket.ts'

const maximumAddresses = 8

/**
 * The addresses of a target, in the resolver's order.
 * @throws Fault exit 4 when the name does not resolve before the deadline.
 */
export async function resolve(target: Target, deadline: Deadline): Promise<Address[]> {
  if (target.kind === 'unix') return [encodeUnix(target.path)]
  if (isIP(target.host) !== 0) return [encodeInet(target.host, target.port)]
  const found = await Promise.race([
    lookup(target.host, { all: true }).catch((cause: unknown) => cause as Error),
    sleep(Math.max(0, deadline.at - performance.now()), null, { ref: false }),
  ])
  if (found === null || found instanceof Error) {
    const why = found === null ? `within ${deadline.totalMs / 1000} s` : `(${found.message})`
    throw new Fault(Exit.unreachable, `the name ${target.host} cannot be resolved ${why}`)
  }
  return found.slice(0, maximumAddresses).map(({ address }) => encodeInet(address, target.port))
}
