import { afterEach, describe, expect, test, vi } from 'vitest'
import { resolveSsh } from '../../../../src/host/ssh.ts'
import { scriptedHost } from '../../support/scripted-host.ts'

const configuration = `user anna
hostname 203.0.113.7
port 2222
identitiesonly yes
identityfile ~/.ssh/id_vps
identityfile /keys/other
userknownhostsfile ~/.ssh/known_hosts ~/.ssh/known_hosts2
globalknownhostsfile /etc/ssh/ssh_known_hosts
proxyjump none
identityagent SSH_AUTH_SOCK
`
const env = { HOME: '/home/me', SSH_AUTH_SOCK: '/run/agent' }

afterEach(() => vi.restoreAllMocks())

describe('resolveSsh', () => {
  test('reads what ssh -G says', async () => {
    const local = scriptedHost('here', [['ssh -G', { stdout: configuration }]])
    const resolved = await resolveSsh(local, 'vps', env)
    expect(resolved).toEqual({
      target: 'vps',
      host: '203.0.113.7',
      port: 2222,
      user: 'anna',
      identityFiles: ['/home/me/.ssh/id_vps', '/keys/other'],
      identitiesOnly: true,
      identityAgent: '/run/agent',
      knownHostsFiles: [
        '/home/me/.ssh/known_hosts',
        '/home/me/.ssh/known_hosts2',
        '/etc/ssh/ssh_known_hosts',
      ],
    })
  })

  test.each([
    ['vps', 'ssh -G -- vps'],
    ['anna@vps', 'ssh -G -l anna -- vps'],
    ['anna@vps:2222', 'ssh -G -l anna -p 2222 -- vps'],
    ['vps:22', 'ssh -G -p 22 -- vps'],
    ['root@[2001:db8::1]:2222', 'ssh -G -l root -p 2222 -- 2001:db8::1'],
    ['ssh://anna@vps:2222', 'ssh -G -- ssh://anna@vps:2222'],
  ])('%s becomes %s', async (target, line) => {
    const local = scriptedHost('here', [['ssh -G', { stdout: configuration }]])
    await resolveSsh(local, target, env)
    expect(local.lines).toEqual([line])
  })

  test.each(['-oProxyCommand=evil', '', 'a b', 'root@-oProxyCommand=evil', '-l@host', 'host:port', 'a@b@c'])(
    'refuses %j before anything is run',
    async (target) => {
      const local = scriptedHost('here', [])
      await expect(resolveSsh(local, target, env)).rejects.toMatchObject({ exit: 2 })
      expect(local.lines).toEqual([])
    },
  )

  test('under sudo it is the user who typed the command whose configuration and home count', async () => {
    vi.spyOn(process, 'geteuid').mockReturnValue(0)
    const local = scriptedHost('here', [
      ['runuser -u anna -- ssh -G', { stdout: configuration }],
      ['getent passwd anna', { stdout: 'anna:x:1000:1000::/home/anna:/bin/bash\n' }],
    ])
    const resolved = await resolveSsh(local, 'vps', { ...env, SUDO_USER: 'anna' })
    expect(resolved.configUser).toBe('anna')
    expect(resolved.identityFiles[0]).toBe('/home/anna/.ssh/id_vps')
  })

  test('a SUDO_USER that is no user name is not put into a command', async () => {
    vi.spyOn(process, 'geteuid').mockReturnValue(0)
    const local = scriptedHost('here', [['ssh -G', { stdout: configuration }]])
    await resolveSsh(local, 'vps', { ...env, SUDO_USER: '-x; evil' })
    expect(local.lines).toEqual(['ssh -G -- vps'])
  })

  test('no agent when the configuration says none; jump hosts come first', async () => {
    const text = configuration.replace('SSH_AUTH_SOCK', 'none').replace('proxyjump none', 'proxyjump bastion')
    const local = scriptedHost('here', [['ssh -G', { stdout: text }]])
    const resolved = await resolveSsh(local, 'vps', env)
    expect(resolved.identityAgent).toBeUndefined()
    expect(resolved.proxyJump).toBe('bastion')
  })
})
