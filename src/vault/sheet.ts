import { Exit, Fault } from '../fault.ts'
import { Secret } from '../host/secret.ts'

/**
 * The escrow sheet: what is printed and put into a drawer. Where the opaque copies lie, how each server is known again,
 * which copy is the right one, and its key. Read back line by line, so that it may also be typed from paper.
 */

export interface SheetServer {
  /** user@host:port, as it was reached; may be edited when the address has changed since. */
  readonly ssh: string
  /** "SHA256:…" */
  readonly hostKey: string
  readonly path: string
}

export interface Sheet {
  readonly vault: string
  readonly servers: readonly SheetServer[]
  readonly sha256: string
}

/** @param key shown in the clear: this text is for paper */
export const sheetText = ({ vault, servers, sha256 }: Sheet, key: Secret, at: Date): string =>
  [
    `cloudvault escrow sheet of "${vault}", ${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    '',
    'Each server below has an encrypted copy of the recovery kit. This sheet, the passphrase and SSH access to one of them',
    'bring the vault back on a new machine. Save these lines there as a file (an address may be changed), then:',
    '',
    '    sudo cloudvault restore-kit --sheet FILE',
    '',
    'Keep it away from the servers. Nobody can print it again; `cloudvault escrow` makes a new one, and this one void.',
    '',
    `vault   ${vault}`,
    ...servers.map(({ ssh, hostKey, path }) => `server  ${ssh}  ${hostKey}  ${path}`),
    `sha256  ${(sha256.match(/.{8}/g) ?? []).join(' ')}`,
    `key     ${Buffer.from(key.reveal()).toString()}`,
    '',
  ].join('\n')

/**
 * @returns the sheet, and the key when the text has it
 * @throws Fault 2 when a line is missing or cannot be read; the key is never repeated
 */
export const parseSheet = (text: string): { readonly sheet: Sheet; readonly key: Secret | null } => {
  const said = (word: string): string[] =>
    [...text.matchAll(new RegExp(`^[ \\t]*${word}[ \\t]+(.*)$`, 'gm'))].map(([, rest = '']) => rest.trim())
  const [vault = ''] = said('vault')
  const sha256 = (said('sha256')[0] ?? '').replace(/\s/g, '').toLowerCase()
  const servers = said('server').map((line) => {
    const [, ssh = '', hostKey = '', path = ''] = /^(\S+)\s+(SHA256:\S+)\s+(\/\S+)$/.exec(line) ?? []
    return { ssh, hostKey, path }
  })
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw unreadable('its line "sha256" has not 64 hexadecimal digits')
  if (servers.length === 0 || servers.some(({ ssh }) => ssh === ''))
    throw unreadable('it needs lines "server USER@HOST:PORT SHA256:… /PATH"')
  const [key] = said('key')
  return { sheet: { vault, servers, sha256 }, key: key ? new Secret(Buffer.from(key)) : null }
}

const unreadable = (why: string): Fault =>
  new Fault(Exit.usage, `the escrow sheet cannot be read: ${why}`, { stands: 'nothing was contacted' })
