import { Exit, Fault } from '../../fault.ts'
import type { Host } from '../host.ts'
import { type HostKey, preferredTypes } from './key.ts'
import { type KnownKeys, knownKeys } from './known.ts'
import type { ResolvedSsh } from './resolve.ts'

/**
 * Whether a host key is the right one. A pin decides alone; without one the user's known_hosts does; without either a
 * person is asked, while no connection is open, and the answer holds for exactly the key that was shown.
 */

export interface TrustOptions {
  readonly name: string
  readonly pin?: string
  readonly onUnknownKey?: (fingerprint: string, type: string) => Promise<boolean>
}

/** Tries to connect with these key types; `login` when a key was accepted, else the key that was refused. */
export type Attempt<T> = (
  types: readonly string[],
  accept: (key: HostKey) => boolean,
) => Promise<{ readonly login: T } | { readonly refused: HostKey | null }>

/** @throws Fault 5 when the key is unknown, differs from the pin or from known_hosts, or is revoked */
export const establish = async <T>(
  local: Host,
  resolved: ResolvedSsh,
  options: TrustOptions,
  attempt: Attempt<T>,
): Promise<{ value: T; trustedByKnownHosts: boolean }> => {
  if (options.pin !== undefined) {
    return { value: await byPin(options.pin, options.name, attempt), trustedByKnownHosts: false }
  }
  const known = await knownKeys(local, resolved)
  const types = [...new Set([...known.trusted.map((key) => key.type), ...preferredTypes])]
  const isKnown = (key: HostKey): boolean => isTrusted(known, key)
  const first = await attempt(types.filter(isPreferred), isKnown)
  if ('login' in first) return { value: first.login, trustedByKnownHosts: true }
  const key = await agreed(first.refused, known, resolved, options)
  const second = await attempt([key.type], (shown) => shown.fingerprint === key.fingerprint)
  if ('login' in second) return { value: second.login, trustedByKnownHosts: false }
  throw differs(options.name, key.fingerprint, second.refused, 'the key that was shown a moment ago')
}

const isPreferred = (type: string): boolean => (preferredTypes as readonly string[]).includes(type)

const isTrusted = (known: KnownKeys, key: HostKey): boolean =>
  known.trusted.some((trusted) => trusted.fingerprint === key.fingerprint) &&
  !known.revoked.includes(key.fingerprint)

/**
 * A pin may name any of a server's keys (people copy what ssh-keyscan prints first). So when the preferred type does
 * not match, the other types are asked for; nothing but the pinned key is ever accepted.
 */
const byPin = async <T>(pin: string, member: string, attempt: Attempt<T>): Promise<T> => {
  let types: readonly string[] = preferredTypes
  let first: HostKey | null = null
  while (types.length > 0) {
    const result = await attempt(types, (key) => key.fingerprint === pin)
    if ('login' in result) return result.login
    first ??= result.refused
    const shown = result.refused?.type
    const rest = shown ? types.filter((type) => type !== shown) : []
    if (rest.length === types.length) break // a type we did not ask for: it will not get better
    types = rest
  }
  throw differs(member, pin, first, 'the pin in the profile')
}

/** Asks the person about a key nobody knows. */
const agreed = async (
  key: HostKey | null,
  known: KnownKeys,
  resolved: ResolvedSsh,
  options: TrustOptions,
): Promise<HostKey> => {
  if (key === null) {
    throw new Fault(Exit.trust, 'the server shows no host key that could be checked', {
      member: options.name,
    })
  }
  if (known.revoked.includes(key.fingerprint)) {
    throw new Fault(Exit.trust, `the host key ${key.fingerprint} is marked @revoked in known_hosts`, {
      member: options.name,
    })
  }
  const expected = known.trusted[0]
  if (expected) throw differs(options.name, expected.fingerprint, key, 'known_hosts')
  if (await options.onUnknownKey?.(key.fingerprint, key.type)) return key
  throw new Fault(
    Exit.trust,
    `the host key of ${resolved.host} port ${resolved.port} is not known: ${key.fingerprint} (${key.type})`,
    {
      member: options.name,
      stands: 'nothing was sent to the server',
      next: `compare it with the provider's console, then --accept-host-key ${options.name}=${key.fingerprint}`,
    },
  )
}

const differs = (member: string, expected: string, shown: HostKey | null, source: string): Fault =>
  new Fault(
    Exit.trust,
    `the server shows another host key: ${shown?.fingerprint ?? 'none of the wanted type'}, but ${source} says ${expected}`,
    {
      member,
      stands: 'nothing was sent to the server',
      next: 'ask the provider whether the server was reinstalled; only then change host_key in the profile',
    },
  )
