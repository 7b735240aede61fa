import { describe, expect, test } from 'vitest'
import { perform } from '../../../src/engine/action.ts'
import { packagesStep } from '../../../src/server/packages.ts'
import { scriptedHost } from '../support/scripted-host.ts'
import { site } from '../support/site.ts'

const simulated = `Inst libglib2.0-0 (2.74.6-2 Debian:12/stable [amd64])
Inst util-linux [2.38.1-5] (2.38.1-6 Debian:12/stable [amd64])
Inst nbd-server (1:3.24-1.1 Debian:12/stable [amd64])
Conf nbd-server (1:3.24-1.1 Debian:12/stable [amd64])
`

const up = async (host: ReturnType<typeof scriptedHost>, shared = {}) => {
  const step = await packagesStep(await site(host, { shared }), false)
  for (const action of step.up) await perform(action)
  return host.lines
}

describe('packages', () => {
  test('what is there is not installed again', async () => {
    const host = scriptedHost('fsn', [['command -v', {}]])
    const step = await packagesStep(await site(host), false)
    expect(await step.probe()).toMatchObject({ is: 'present' })
  })

  test('the default service is masked before it is installed; new packages, and only they, are written down', async () => {
    const host = scriptedHost('fsn', [
      [/command -v .* nbd-server$/, { code: 127 }],
      ['systemctl cat', { code: 1 }],
      ['--simulate', { stdout: simulated }],
      [/.*/, {}],
    ])
    const lines = await up(host)
    const at = (words: string): number => lines.findIndex((line) => line.includes(words))
    expect(at('systemctl mask nbd-server.service')).toBeGreaterThan(-1)
    expect(at('systemctl mask nbd-server.service')).toBeLessThan(at('install nbd-server'))
    expect(lines.filter((line) => / install /.test(line)).at(-1)).toMatch(/install nbd-server$/)
    const written =
      host.commands.flatMap(({ input }) => (typeof input === 'string' ? [input] : [])).at(-1) ?? ''
    expect(JSON.parse(written).made.packages).toEqual({ state: 'made', what: ['libglib2.0-0', 'nbd-server'] })
  })

  test('a service that somebody else runs is not masked', async () => {
    const host = scriptedHost('fsn', [
      [/command -v .* nbd-server$/, { code: 127 }],
      [/.*/, {}],
    ])
    expect((await up(host)).some((line) => line.includes('systemctl mask'))).toBe(false)
  })

  test('unprovision keeps libraries that other packages have come to need', async () => {
    const host = scriptedHost('fsn', [
      [
        'purge libglib2.0-0 nbd-server --simulate',
        { stdout: 'Purg libglib2.0-0 [2.74]\nPurg nbd-server [3.24]\nPurg polkitd [122]\n' },
      ],
      ['purge nbd-server --simulate', { stdout: 'Purg nbd-server [3.24]\n' }],
      [/.*/, {}],
    ])
    const shared = { packages: ['libglib2.0-0', 'nbd-server'] }
    const step = await packagesStep(await site(host, { shared }), false)
    for (const action of step.down) await perform(action)
    const purged = host.lines.filter((line) => line.includes('purge') && !line.includes('--simulate'))
    expect(purged).toHaveLength(1)
    expect(purged[0]).toMatch(/purge nbd-server$/)
  })

  test('nbdkit without its exportname filter would serve any name: refused', async () => {
    const host = scriptedHost('fsn', [
      ['dump-config', { code: 1 }],
      ['command -v', {}],
    ])
    const step = await packagesStep(await site(host, { member: { server: 'nbdkit' } }), false)
    expect(await step.probe()).toMatchObject({ is: 'differs' })
  })
})
