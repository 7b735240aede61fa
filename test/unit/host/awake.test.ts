import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LocalHost } from '../../../src/host/local.ts'

/** The lock against sleeping: held as long as we say, and no loss where there is nobody to ask. */

test('without systemd-inhibit nothing happens', async () => {
  await new LocalHost({ PATH: '/nonexistent' }).stayAwake('a test').release()
})

test('the child that holds it ends when it is released', async () => {
  const bin = await mkdtemp(join(tmpdir(), 'cv-inhibit-'))
  try {
    const noted = join(bin, 'noted')
    await writeFile(
      join(bin, 'systemd-inhibit'),
      `#!/bin/sh\necho "$@" > ${noted}\ncat\necho ended >> ${noted}\n`,
    )
    await chmod(join(bin, 'systemd-inhibit'), 0o755)
    const lock = new LocalHost({ PATH: `${bin}:/usr/bin:/bin` }).stayAwake('a test')
    const text = (): Promise<string> => readFile(noted, 'utf8').catch(() => '')
    for (let waited = 0; waited < 400 && !(await text()).endsWith('cat\n'); waited++) await pause(25)
    expect(await text()).toBe('--what=sleep --mode=block --who=cloudvault --why=a test cat\n')
    await lock.release()
    for (let waited = 0; waited < 400 && !(await text()).endsWith('ended\n'); waited++) await pause(25)
    expect(await text()).toContain('ended')
  } finally {
    await rm(bin, { recursive: true, force: true })
  }
}, 30_000)

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
