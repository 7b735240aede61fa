import { expect, test } from 'vitest'
import { atBoot, inBackground } from '../../../src/cli/background.ts'

/** How the monitor, the keeper and the unit of a boot know whose profile and whose SSH keys these are. */

const self = ['/usr/bin/node', '/opt/cloudvault.js']

test('under sudo, the person behind it goes along; the agent does not go into a boot', () => {
  const env = { SUDO_USER: 'anna', SUDO_UID: '1000', SSH_AUTH_SOCK: '/run/agent', PATH: '/bin', SECRET: 'x' }
  const caller = ['/usr/bin/env', 'SUDO_USER=anna', 'SUDO_UID=1000']
  expect(inBackground({ self, env }, ['monitor', 'photos'])).toEqual([
    ...caller,
    'SSH_AUTH_SOCK=/run/agent',
    ...self,
    'monitor',
    'photos',
  ])
  expect(atBoot({ self, env }, ['up', 'photos'])).toEqual([...caller, ...self, 'up', 'photos'])
})

test('as root itself nothing is put in front', () => {
  expect(inBackground({ self, env: { PATH: '/bin' } }, ['monitor', 'x'])).toEqual([...self, 'monitor', 'x'])
})
