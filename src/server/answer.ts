/** What session.sh prints, read as something that anybody may have written: its lines, and the forms they must have. */

/** Lines "key value"; the first of a key counts. */
export const fields = (text: string): Map<string, string> => {
  const found = new Map<string, string>()
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ')
    const key = line.slice(0, space)
    if (space > 0 && !found.has(key)) found.set(key, line.slice(space + 1))
  }
  return found
}

/** Of a nonce as newNonce() makes it. */
export const noncePattern = /^[0-9a-f]{32}$/
/** As session.sh insists on it when a session is taken. */
const holderPattern = /^[A-Za-z0-9._-]{1,64}\/[0-9a-f]{8}:[a-z][a-z0-9-]{0,23}$/
const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/
const bootPattern = /^[\w-]{1,64}$/
export const socketPattern = /^\/run\/cloudvault\/[a-z0-9-]+\/export\.sock$/

/**
 * What a server says of a session is kept, sent back and shown to people: only what looks as the script writes it is
 * taken, the rest counts as not said.
 */
export const known = (said: ReadonlyMap<string, string>) => {
  const like = (key: string, pattern: RegExp): string | undefined =>
    pattern.exec(said.get(key) ?? '')?.[0] || undefined
  return {
    bootId: like('boot', bootPattern),
    nonce: like('nonce', noncePattern),
    holder: like('holder', holderPattern),
    since: like('since', timePattern),
    other: like('other', holderPattern),
    otherSince: like('other-since', timePattern),
  }
}
