import { describe, expect, test } from 'vitest'
import { fingerprintOf, type HostKey, hostKeyOf } from '../../../../src/host/ssh/key.ts'
import type { ResolvedSsh } from '../../../../src/host/ssh/resolve.ts'
import { type Attempt, establish } from '../../../../src/host/ssh/trust.ts'
import { scriptedHost } from '../../support/scripted-host.ts'

const blob = (type: string, seed: string): Buffer => {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(type.length)
  return Buffer.concat([head, Buffer.from(type), Buffer.from(seed)])
}
const key = (type: string, seed: string): HostKey => hostKeyOf(blob(type, seed)) as HostKey
const ed = key('ssh-ed25519', 'one')
const rsa = key('ssh-rsa', 'two')
const forged = key('ssh-ed25519', 'forged')

const resolved: ResolvedSsh = {
  target: 'vps',
  host: 'vps.example',
  port: 2222,
  user: 'root',
  identityFiles: [],
  identitiesOnly: false,
  knownHostsFiles: ['/home/me/.ssh/known_hosts'],
}
const nobody = scriptedHost('here', [['ssh-keygen -F', { code: 1 }]])
const knows = (line: string) =>
  scriptedHost('here', [['ssh-keygen -F', { stdout: `# Host found: line 1\n${line}\n` }]])

/** A server with these keys: shows the first whose type it is asked for. */
const server = (...keys: HostKey[]): { attempt: Attempt<string>; tried: (readonly string[])[] } => {
  const tried: (readonly string[])[] = []
  return {
    tried,
    attempt: async (types, accept) => {
      tried.push(types)
      const shown = types
        .map((type) => keys.find((own) => own.type === type))
        .find((found) => found !== undefined)
      return shown && accept(shown) ? { login: shown.fingerprint } : { refused: shown ?? null }
    },
  }
}

describe('a pinned key', () => {
  test('is accepted, and nothing else is asked', async () => {
    const { attempt } = server(ed)
    const result = await establish(
      scriptedHost('here', []),
      resolved,
      { name: 'fsn', pin: ed.fingerprint },
      attempt,
    )
    expect(result).toEqual({ value: ed.fingerprint, trustedByKnownHosts: false })
  })

  test('may be of a type that is not preferred', async () => {
    const { attempt, tried } = server(ed, rsa)
    const result = await establish(nobody, resolved, { name: 'fsn', pin: rsa.fingerprint }, attempt)
    expect(result.value).toBe(rsa.fingerprint)
    expect(tried[1]).not.toContain('ssh-ed25519')
  })

  test('that differs ends with exit 5 and both fingerprints, in a bounded number of attempts', async () => {
    const { attempt, tried } = server(forged, rsa)
    const refused = establish(nobody, resolved, { name: 'fsn', pin: ed.fingerprint }, attempt)
    await expect(refused).rejects.toMatchObject({ exit: 5, details: { member: 'fsn' } })
    await expect(refused).rejects.toThrow(ed.fingerprint)
    await expect(refused).rejects.toThrow(forged.fingerprint)
    expect(tried.length).toBeLessThanOrEqual(3)
  })

  test('is never overruled by known_hosts or by a person', async () => {
    const local = knows(`vps ssh-ed25519 ${forged.base64}`)
    const options = { name: 'fsn', pin: ed.fingerprint, onUnknownKey: async () => true }
    await expect(establish(local, resolved, options, server(forged).attempt)).rejects.toMatchObject({
      exit: 5,
    })
  })
})

describe('without a pin', () => {
  test('a key in known_hosts is trusted, and asked for first', async () => {
    const { attempt, tried } = server(ed, rsa)
    const result = await establish(knows(`vps ssh-rsa ${rsa.base64}`), resolved, { name: 'fsn' }, attempt)
    expect(result).toEqual({ value: rsa.fingerprint, trustedByKnownHosts: true })
    expect(tried[0]?.[0]).toBe('ssh-rsa')
  })

  test('known_hosts is asked for host and port', async () => {
    const local = knows(`vps ssh-ed25519 ${ed.base64}`)
    await establish(local, resolved, { name: 'fsn' }, server(ed).attempt)
    expect(local.lines).toEqual(["ssh-keygen -F '[vps.example]:2222' -f /home/me/.ssh/known_hosts"])
  })

  test('another key than in known_hosts is refused although a person would say yes', async () => {
    const local = knows(`vps ssh-ed25519 ${ed.base64}`)
    const asked = { name: 'fsn', onUnknownKey: async () => true }
    await expect(establish(local, resolved, asked, server(forged).attempt)).rejects.toMatchObject({ exit: 5 })
  })

  test('a revoked key is refused', async () => {
    const local = knows(`@revoked vps ssh-ed25519 ${ed.base64}`)
    const refused = establish(
      local,
      resolved,
      { name: 'fsn', onUnknownKey: async () => true },
      server(ed).attempt,
    )
    await expect(refused).rejects.toThrow('@revoked')
  })

  test('an unknown key without anybody to ask: exit 5 and how to accept it', async () => {
    await expect(establish(nobody, resolved, { name: 'fsn' }, server(ed).attempt)).rejects.toMatchObject({
      exit: 5,
      details: { next: expect.stringContaining(`--accept-host-key fsn=${ed.fingerprint}`) },
    })
  })

  test('a yes holds for the key that was shown and no other', async () => {
    let shown = ed
    const attempt: Attempt<string> = async (_types, accept) =>
      accept(shown) ? { login: shown.fingerprint } : { refused: shown }
    const yes = { name: 'fsn', onUnknownKey: async () => true }
    expect((await establish(nobody, resolved, yes, attempt)).value).toBe(ed.fingerprint)
    const swap = {
      name: 'fsn',
      onUnknownKey: async () => {
        shown = forged
        return true
      },
    }
    await expect(establish(nobody, resolved, swap, attempt)).rejects.toMatchObject({ exit: 5 })
  })

  test('a no is a no', async () => {
    const no = { name: 'fsn', onUnknownKey: async () => false }
    await expect(establish(nobody, resolved, no, server(ed).attempt)).rejects.toMatchObject({ exit: 5 })
  })
})

describe('fingerprints', () => {
  test('are those of ssh-keygen -lf', () => {
    const wire = 'AAAAC3NzaC1lZDI1NTE5AAAAIOKJqd3BynFgWByOntfknffGnSNq6NmMEr8/sbGmUmKT'
    expect(fingerprintOf(Buffer.from(wire, 'base64'))).toBe(
      'SHA256:m9c9wCLEm9MaXzR0257/m76xENUqLrpo+cxStYuHS94',
    )
    expect(hostKeyOf(Buffer.from(wire, 'base64'))?.type).toBe('ssh-ed25519')
  })

  test.each(['', 'AAAA', 'AAAAAAAAAAA=', '/////3NzaC1lZDI1NTE5', 'AAAABAoKCgoKCg=='])(
    '%j is no key',
    (base64) => {
      expect(hostKeyOf(Buffer.from(base64, 'base64'))).toBeNull()
    },
  )
})
