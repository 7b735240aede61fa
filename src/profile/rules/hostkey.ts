import type { Rule } from './path.ts'

/**
 * The pin of a server's host key: OpenSSH's SHA-256 fingerprint, the form that `ssh` and `ssh-keygen -l` print.
 */

export const howToGet =
  'leave it out and `cloudvault provision` shows it and writes it here; or on the server: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub'

export const hostKeyPattern = '^SHA256:[A-Za-z0-9+/]{43}$'

export const hostKey: Rule = (value) => {
  if (/^(ssh-dss)\b/.test(value)) return 'DSA keys are not accepted by any current OpenSSH'
  if (/^(ssh-|ecdsa-|sk-)/.test(value)) return 'this is the key; its fingerprint is wanted'
  if (/^MD5:|^([0-9a-f]{2}:){15}[0-9a-f]{2}$/i.test(value))
    return 'MD5 fingerprints can be forged; the SHA256 one is wanted'
  if (/^[A-Za-z0-9+/]{43}=?$/.test(value)) return 'the prefix SHA256: is missing'
  if (/^SHA256:[A-Za-z0-9+/]{43}=$/.test(value)) return 'write it without the = at the end'
  if (/^SHA256:.*…$/.test(value)) return 'is cut off; write all 43 characters'
  const digest = new RegExp(hostKeyPattern).test(value) ? value.slice(7) : null
  if (digest === null) return 'is not SHA256: and 43 characters of base64'
  // 43 characters carry 258 bits; the last two must be zero, else a character was mistyped.
  const canonical = Buffer.from(digest, 'base64').toString('base64').replace(/=+$/, '')
  return canonical === digest ? null : 'the last character cannot stand there: it was copied wrongly'
}
