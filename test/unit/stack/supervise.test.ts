import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { perform } from '../../../src/engine/action.ts'
import { LocalHost } from '../../../src/host/local.ts'
import { daemonSupervisor } from '../../../src/stack/supervise.ts'

/** Real processes on this machine: daemons without systemd, stopped sooner than they are properly up. */

let run = ''
/** A program nobody else runs, so that it can be looked for. */
const program = ['sleep', `${1_000_000 + process.pid}`]

beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), 'cv-supervise-'))
})
afterEach(() => rm(run, { recursive: true, force: true }))

const running = (): string[] =>
  execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(program.join(' ')))

describe('a daemon without systemd', () => {
  test('is found as soon as starting it returned, and leaves nothing when stopped at once', async () => {
    const supervisor = daemonSupervisor(new LocalHost(process.env), run)
    for (let round = 0; round < 10; round++) {
      for (const action of supervisor.start('cv-photos-link', program)) await perform(action)
      expect(await supervisor.probe('cv-photos-link')).toEqual({ is: 'present' })
      for (const action of supervisor.stop('cv-photos-link')) await perform(action)
      expect(await supervisor.probe('cv-photos-link')).toEqual({ is: 'absent' })
      expect(running()).toEqual([])
      expect((await readdir(run)).filter((name) => name.endsWith('.pid'))).toEqual([])
    }
  }, 60_000)

  test('comes back when its program is killed', async () => {
    const supervisor = daemonSupervisor(new LocalHost(process.env), run)
    const pid = (): string =>
      execFileSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' })
        .split('\n')
        .map((line) => line.trim())
        .find((line) => line.replace(/^\d+ /, '') === program.join(' '))
        ?.split(' ')[0] ?? ''
    const appears = async (not: string): Promise<string> => {
      for (let waited = 0; waited < 200; waited++) {
        // Looked at once: a process that is just ending is there for one look and gone for the next.
        const now = pid()
        if (now !== '' && now !== not) return now
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      return ''
    }
    for (const action of supervisor.start('cv-photos-link', program)) await perform(action)
    try {
      const first = await appears('')
      expect(first).not.toBe('')
      expect(await supervisor.pid('cv-photos-link')).toBe(Number(first))
      process.kill(Number(first), 'SIGKILL')
      expect(await appears(first)).not.toBe('')
    } finally {
      for (const action of supervisor.stop('cv-photos-link')) await perform(action)
    }
    expect(running()).toEqual([])
    expect(await supervisor.pid('cv-photos-link')).toBeNull()
  }, 60_000)

  test('is found and ended also when the shell that watches over it was killed', async () => {
    const supervisor = daemonSupervisor(new LocalHost(process.env), run)
    for (const how of ['stop', 'kill'] as const) {
      for (const action of supervisor.start('cv-photos-link', program)) await perform(action)
      await expect.poll(() => supervisor.pid('cv-photos-link'), { timeout: 20_000 }).not.toBeNull()
      process.kill(Number.parseInt(await readFile(join(run, 'cv-photos-link.pid'), 'utf8'), 10), 'SIGKILL')
      expect(await supervisor.probe('cv-photos-link')).toEqual({ is: 'present' })
      for (const action of supervisor[how]('cv-photos-link')) await perform(action)
      expect(running()).toEqual([])
      expect(await supervisor.probe('cv-photos-link')).toEqual({ is: 'absent' })
      expect((await readdir(run)).filter((name) => name.endsWith('.pid'))).toEqual([])
    }
  }, 60_000)
})
