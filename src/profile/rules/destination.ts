import { isIPv6 } from 'node:net'
import { hostName } from './address.ts'
import type { Rule } from './path.ts'

/**
 * Where a member's server is, as the profile says it: an alias of ~/.ssh/config, or [user@]host[:port]. Only the
 * form is read here; what an alias means is `ssh -G`'s to say.
 */
export interface Destination {
  readonly user?: string
  /** Alias, host name or address; an IPv6 address without brackets. */
  readonly host: string
  /** Absent: what ssh_config or the default says. */
  readonly port?: number
}

/** Shadow's rule for user names; also what keeps "root;id" and "-l" out. */
export const userPattern = /^[a-z_][a-z0-9_-]{0,31}$/

export const userName: Rule = (value) =>
  userPattern.test(value)
    ? null
    : 'the user name may have a-z, 0-9, _ and -, and starts with a letter or _ (32 at most)'

/** Reads a destination, or says why it is not one. */
export const parseDestination = (text: string): Destination | { readonly fault: string } => {
  if (text === '') return { fault: 'is empty' }
  if (text.startsWith('-')) return { fault: 'may not start with "-" (ssh would read it as an option)' }
  if (/^[a-z]+:\/\//i.test(text)) return { fault: 'write [user@]host[:port], not a URL' }
  const at = text.lastIndexOf('@')
  const user = at < 0 ? undefined : text.slice(0, at)
  const badUser = user === undefined ? null : userName(user)
  if (badUser) return { fault: badUser }
  const split = hostAndPort(text.slice(at + 1))
  if ('fault' in split) return split
  return user === undefined ? split : { user, ...split }
}

const hostAndPort = (text: string): Destination | { readonly fault: string } => {
  if (isIPv6(text)) return { fault: `write an IPv6 address in brackets and quotes: "[${text}]"` }
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text)
  const [host, port] = bracketed
    ? [bracketed[1] ?? '', bracketed[2]]
    : [text.replace(/:.*$/s, ''), text.includes(':') ? text.slice(text.indexOf(':') + 1) : undefined]
  const fault = bracketed ? badBracketed(host) : hostName(host)
  if (fault) return { fault }
  if (port === undefined) return { host }
  if (!/^[1-9][0-9]{0,4}$/.test(port) || Number(port) > 65535)
    return { fault: 'the port after : must be a number from 1 to 65535' }
  return { host, port: Number(port) }
}

const badBracketed: Rule = (host) => {
  if (host.includes('%')) return 'a zone id (%…) is not allowed; put it into ~/.ssh/config under an alias'
  return isIPv6(host) ? null : 'there is no IPv6 address between the brackets'
}

export const destination: Rule = (value) => {
  const parsed = parseDestination(value)
  return 'fault' in parsed ? parsed.fault : null
}
