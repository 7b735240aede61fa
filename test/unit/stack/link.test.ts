import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { perform } from '../../../src/engine/action.ts'
import type { Member } from '../../../src/profile/profile.ts'
import { sshLink } from '../../../src/stack/link/ssh.ts'
import type { Supervisor } from '../../../src/stack/supervise.ts'
import type { Vault } from '../../../src/stack/vault.ts'

/** The pump of a link, ended before its ssh has come so far as to listen: ssh leaves its socket when it ends. */

let run = ''
beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), 'cv-link-'))
})
afterEach(() => rm(run, { recursive: true, force: true }))

test('a pump that makes its socket while it is stopped leaves none', async () => {
  const socket = join(run, 'gra.sock')
  const local = { name: 'here' }
  const vault = { profile: { vault: 'photos' }, paths: { socket: () => socket }, local, remote: () => null }
  const supervisor = {
    stop: () => [{ on: local, text: 'stop the pump', call: () => writeFile(socket, '') }],
  }
  const [step] = sshLink(
    vault as unknown as Vault,
    { name: 'gra' } as Member,
    supervisor as unknown as Supervisor,
    [],
  ).steps
  for (const action of step?.down ?? []) await perform(action)
  expect(await readdir(run)).toEqual([])
})
