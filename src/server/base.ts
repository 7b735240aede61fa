import type { Finding, Step } from '../engine/step.ts'
import { serverUser } from '../names.ts'
import { putFile, readRemote, run } from './files.ts'
import sessionScript from './session.sh'
import { sessionScriptPath } from './session.ts'
import type { Site } from './site.ts'

/** What all exports of a server share besides packages: the user they run as, and the session script. */

export const userStep = (site: Site): Step => {
  const { host, shared } = site
  const add = ['useradd', '--system', '--user-group', '--no-create-home', '--home-dir', '/nonexistent']
  return {
    name: 'user',
    needs: ['packages'],
    probe: async () => {
      const output = await host.run({ argv: ['getent', 'passwd', serverUser], root: false })
      // getent(1): 2 is "no such key"; everything else is no answer.
      if (output.code === 2) return { is: 'absent' }
      if (output.code !== 0) return { is: 'unknown', why: output.stderr || 'the connection was lost' }
      const uid = Number(output.stdout.split(':')[2])
      if (uid > 0 && uid < 1000) return { is: 'present', note: serverUser }
      return {
        is: 'differs',
        found: `there is a user ${serverUser} with uid ${uid}, which is no system user`,
      }
    },
    up: [
      shared.mark('user', 'making', [serverUser]),
      run(host, ...add, '--shell', '/usr/sbin/nologin', serverUser),
      shared.mark('user', 'made', [serverUser]),
    ],
    down: [run(host, 'userdel', serverUser)],
  }
}

export const scriptStep = (site: Site): Step => {
  const { host, shared } = site
  const directory = sessionScriptPath.replace(/\/[^/]*$/, '')
  const install = [
    shared.mark('session script', 'making', [sessionScriptPath]),
    putFile(host, sessionScriptPath, sessionScript, '0755'),
    shared.mark('session script', 'made', [sessionScriptPath]),
  ]
  return {
    name: 'session script',
    needs: ['user'],
    probe: async (): Promise<Finding> => {
      const found = await readRemote(host, sessionScriptPath)
      if (found === null) return { is: 'absent' }
      return found === sessionScript ? { is: 'present' } : { is: 'differs', found: 'another version' }
    },
    up: install,
    ...(shared.get('session script') ? { mend: install } : {}),
    down: [run(host, 'rm', '-f', '--', sessionScriptPath), run(host, 'rmdir', '--', directory)],
  }
}
