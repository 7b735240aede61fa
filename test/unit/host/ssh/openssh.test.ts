import { describe, expect, test } from 'vitest'
import { proxyArgv } from '../../../../src/host/ssh/openssh.ts'
import { knownHostsLine, opensshArguments, type ResolvedSsh } from '../../../../src/host/ssh.ts'

const resolved: ResolvedSsh = {
  target: 'vps',
  host: '203.0.113.7',
  port: 2222,
  user: 'anna',
  identityFiles: ['/home/me/.ssh/id'],
  identitiesOnly: true,
  knownHostsFiles: [],
}
const options = (more: Partial<ResolvedSsh> = {}, type = 'ssh-ed25519'): string[] =>
  opensshArguments({ ...resolved, ...more }, '/run/kh', 'cv-photos-fsn', { type })

describe('opensshArguments', () => {
  test('reads no configuration, trusts one key, never asks', () => {
    const args = options()
    expect(args.slice(0, 2)).toEqual(['-F', '/dev/null'])
    expect(args.slice(-2)).toEqual(['--', '203.0.113.7'])
    for (const option of [
      'BatchMode=yes',
      'UserKnownHostsFile=/run/kh',
      'GlobalKnownHostsFile=/dev/null',
      'HostKeyAlias=cv-photos-fsn',
      'StrictHostKeyChecking=yes',
      'HostKeyAlgorithms=ssh-ed25519',
      'ExitOnForwardFailure=yes',
      'User=anna',
      'Port=2222',
      'IdentityFile=/home/me/.ssh/id',
      'IdentitiesOnly=yes',
      'IdentityAgent=none',
    ])
      expect(args[args.indexOf(option) - 1]).toBe('-o')
  })

  test('an RSA key signs with SHA-2 only', () => {
    expect(options({}, 'ssh-rsa')).toContain('HostKeyAlgorithms=rsa-sha2-512,rsa-sha2-256')
  })

  test('an agent is used when there is one', () => {
    const args = options({ identityAgent: '/run/agent', identitiesOnly: false })
    expect(args).toContain('IdentityAgent=/run/agent')
    expect(args).not.toContain('IdentitiesOnly=yes')
  })

  test('a jump goes by the configuration of the user it was resolved for', () => {
    const args = options({ proxyJump: 'a,bob@b:2200', configUser: 'anna' })
    expect(args).toContain(
      "ProxyCommand=runuser -u anna -- ssh -o BatchMode=yes -J a -W '[203.0.113.7]:2222' -p 2200 -- bob@b",
    )
  })

  test('known_hosts holds the alias, not a name that may change', () => {
    expect(knownHostsLine('cv-photos-fsn', { type: 'ssh-ed25519', base64: 'AAAA' })).toBe(
      'cv-photos-fsn ssh-ed25519 AAAA\n',
    )
  })
})

describe('proxyArgv', () => {
  test('is null for a server that is reached directly', () => expect(proxyArgv(resolved)).toBeNull())

  test('expands the tokens of a ProxyCommand once', () => {
    expect(proxyArgv({ ...resolved, proxyCommand: 'nc -X 5 %h %p %r %%h' })).toEqual([
      'sh',
      '-c',
      'exec nc -X 5 203.0.113.7 2222 anna %h',
    ])
  })
})
