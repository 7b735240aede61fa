import type { Finding, Step } from '../engine/step.ts'
import { exportText, unitText } from './export.ts'
import { putFile, readRemote, run } from './files.ts'
import { placeOf, type Site } from './site.ts'

/** Installs what export.ts writes. A running export keeps its old unit until its next session. */
export const unitStep = (site: Site, firewall: string): Step => {
  const { host, own } = site
  const { etc, unit, unitFile } = placeOf(site)
  const files: readonly (readonly [string, string])[] = [
    [`${etc}/export`, exportText(site, firewall)],
    [unitFile, unitText(site)],
  ]
  const what = files.map(([path]) => path)
  const install = [
    own.mark('export', 'making', what),
    ...files.map(([path, text]) => putFile(host, path, text)),
    run(host, 'systemctl', 'daemon-reload'),
    own.mark('export', 'made', what),
  ]
  return {
    name: 'export',
    needs: ['disk', 'session script', 'firewall'],
    probe: async (): Promise<Finding> => {
      const texts = await Promise.all(files.map(([path]) => readRemote(host, path)))
      if (texts.every((text) => text === null)) return { is: 'absent' }
      if (texts.every((text, index) => text === files[index]?.[1])) return { is: 'present', note: unit }
      return { is: 'differs', found: `${unit} is not as the profile says` }
    },
    up: install,
    // The names are ours alone (cv-…): whatever stands under them is our older version.
    mend: install,
    down: [
      { on: host, command: { argv: ['systemctl', 'stop', unit], deadline: 120_000 }, ok: [0, 5] },
      run(host, 'rm', '-f', '--', ...what),
      run(host, 'systemctl', 'daemon-reload'),
    ],
  }
}
