import { describe, expect, test } from 'vitest'
import { Exit, Fault } from '../../../src/fault.ts'
import { explained, stunnelText } from '../../../src/stack/link/tls.ts'
import type { Vault } from '../../../src/stack/vault.ts'
import { member } from '../support/site.ts'

const link = { kind: 'tls', port: 10809, clients: [] } as const

describe('what stunnel is told', () => {
  test('with a shared key it still verifies certificates, so that nobody can come with one instead', () => {
    const text = stunnelText('cv-photos-fsn', '/keys', '/run/x.sock', '2001:db8::1', { ...link, auth: 'psk' })
    expect(text).toContain(
      '\nverifyChain = yes\ncheckHost = cv-photos-fsn.server\nPSKsecrets = /keys/tls.psk\nCAfile = /keys/nobody.pem\n',
    )
    expect(text).toContain('\nconnect = 2001:db8::1:10809\n')
    expect(text).toContain('\nsslVersionMin = TLSv1.3\n')
  })

  test('with certificates it trusts the one authority', () => {
    const text = stunnelText('cv-photos-fsn', '/keys', '/run/x.sock', 'host', { ...link, auth: 'x509' })
    expect(text).toContain('CAfile = /keys/ca.pem\n')
    expect(text).not.toContain('PSK')
  })
})

describe('why a connection failed', () => {
  const vault = { profile: { vault: 'photos' } } as unknown as Vault
  const fault = new Fault(Exit.unreachable, 'unix socket /run/x closed the connection')
  const why = (log: string) => explained(vault, member({ link: { ...link, auth: 'psk' } }), fault, log)

  test.each([
    [
      'SSL_connect: ssl3_record.c:350: error:0A00010B:SSL routines::wrong version number',
      /does not speak TLS/,
    ],
    ['error:0A000417:SSL routines::sslv3 alert illegal parameter', /does not know our key/],
    ['error:0A000410:SSL routines::sslv3 alert handshake failure', /does not know our key/],
    ['error:0A000086:SSL routines::certificate verify failed', /somebody else answers/],
    [
      'CERT: Pre-verification error: certificate has expired\nerror:0A000086:SSL routines::certificate verify failed',
      /too old/,
    ],
  ])('%s: exit 5, with one next command', (log, words) => {
    expect(why(log)).toMatchObject({ exit: Exit.trust, message: expect.stringMatching(words) })
    expect(why(log).details.next).toContain('cloudvault provision photos fsn')
  })

  test('a server that does not answer stays unreachable, and the address may have changed', () => {
    const refused = why('s_connect: connect 203.0.113.7:10809: Connection refused (111)')
    expect(refused).toMatchObject({ exit: Exit.unreachable })
    expect(refused.details.next).toContain("updates the server's firewall")
    expect(why('').exit).toBe(Exit.unreachable)
  })
})
