import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { perform } from '../../../src/engine/action.ts'
import type { Action } from '../../../src/engine/step.ts'
import type { Command } from '../../../src/host/host.ts'
import { keeper } from '../../../src/stack/keeper.ts'
import { groupOf, unitOf } from '../../../src/stack/stopping.ts'
import type { Vault } from '../../../src/stack/vault.ts'

/** The unit that takes a vault down when the machine goes down, on a machine that only notes what it is told. */

let run = ''
let ran: string[][] = []
let state = 'active'

beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), 'cv-keeper-'))
  ran = []
})
afterEach(() => rm(run, { recursive: true, force: true }))

const step = () =>
  keeper(
    {
      profile: { vault: 'photos', mount: { at: '/vault/my photos' } },
      paths: { state: '/var/lib/cloudvault/photos', takeDown: join(run, 'photos', 'take-down') },
      local: {
        name: 'here',
        run: async ({ argv }: Command) => {
          ran.push([...argv])
          return { code: 0, stdout: `${argv.includes('show') ? state : ''}\n`, stderr: '' }
        },
      },
    } as unknown as Vault,
    [
      '/usr/bin/node',
      '/opt/cloud vault/bin/cloudvault.js',
      'down',
      '/etc/cloudvault/photos.yaml',
      '--stopping',
    ],
  )

const all = async (actions: readonly Action[]): Promise<void> => {
  for (const action of actions) await perform(action)
}

describe('the keeper', () => {
  test('is a unit whose stop command runs a script that takes the vault down', async () => {
    await all(step().up)
    const words = ran.find(([program]) => program === 'systemd-run') ?? []
    expect(words).toContain('--unit=cv-photos-keeper.service')
    expect(words).toContain(`--property=ExecStop=/bin/sh ${run}/photos/take-down`)
    expect(await readFile(join(run, 'photos', 'take-down'), 'utf8')).toBe(
      `rm -f "$0"\nexec /usr/bin/node '/opt/cloud vault/bin/cloudvault.js' down /etc/cloudvault/photos.yaml --stopping\n`,
    )
  })

  test('nothing in its properties is a character that systemd 252 does not read back', async () => {
    await all(step().up)
    expect(ran.flat().filter((word) => /^--property=.*[$;]/.test(word))).toEqual([])
  })

  test('stops after logins and before the network, the programs it runs and the mount', async () => {
    await all(step().up)
    const text = ran.flat().join('\n')
    expect(text).toMatch(/^--property=Before=.*\bsystemd-user-sessions\.service\b/m)
    expect(text).toMatch(/^--property=After=network\.target /m)
    expect(text).toMatch(/^--property=RequiresMountsFor="\/vault\/my photos" .*"\/usr\/bin\/node"/m)
  })

  test('is not there for the `down` that it runs itself, so that this does not wait for itself', async () => {
    state = 'deactivating'
    expect(await step().probe()).toEqual({ is: 'absent' })
    state = 'active'
    expect(await step().probe()).toEqual({ is: 'present' })
  })

  test('is removed without running anything', async () => {
    await all(step().up)
    state = 'inactive'
    const emptied = step().down[0]
    if (emptied) await perform(emptied)
    expect(await readFile(join(run, 'photos', 'take-down'), 'utf8')).toBe('')
    await all(step().down)
    expect(ran).toContainEqual(['systemctl', 'stop', '--no-block', 'cv-photos-keeper.service'])
  })
})

describe('who still works in the vault', () => {
  test.each([
    ['0::/system.slice/ssh.service\n', 'ssh.service'],
    ['0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope\n', 'app-x.scope'],
    ['12:cpu:/\n1:name=systemd:/system.slice/smbd.service\n0::/\n', 'smbd.service'],
    ['0::/\n', null],
    ['', null],
  ])('the unit of %j is %s', (text, unit) => {
    expect(unitOf(text)).toBe(unit)
  })

  test.each([
    ['4711 (dd) D 4700 4699 4699 0 -1', 4699],
    ['4711 (a) b 1 2 (3) S 4700 4698 4699 0 -1', 4698],
    ['', null],
    ['12 (kthreadd) S 0 0 0 0 -1', null],
  ])('the process group of %j is %s', (text, group) => {
    expect(groupOf(text)).toBe(group)
  })
})
