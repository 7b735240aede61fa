import { expect } from 'vitest'
import type { Lab } from '../../lab/index.ts'
import { everyFileIsRight, movesWith, status, verdictBecomes, writeDuring } from './drills/work.ts'
import { verb } from './support.ts'

/** What tests of a vault whose members change say often. */
export const changes = (lab: () => Lab) => {
  const joins = (name: string, flag: '--member' | '--with', more = ''): string[] => [
    flag,
    `name=${name},ssh=vps-${name}${more}`,
    '--accept-host-key',
    `${name}=${lab().server(name).hostKeyFingerprint}`,
    '--yes',
  ]

  /** Somebody writes while it changes; nobody may see an error, and afterwards every file is right. */
  const whileWriting = async (what: string, change: () => Promise<unknown>): Promise<void> => {
    const began = Date.now()
    const { files, worstMs } = await writeDuring(lab(), async () => {
      await change()
    })
    const seconds = Math.round((Date.now() - began) / 1000)
    console.log(`${what}: ${seconds} s, ${files} files written meanwhile, longest wait ${worstMs} ms`)
    expect(await everyFileIsRight(lab())).toBeGreaterThan(files)
  }

  const members = async (): Promise<string[]> => (await status(lab())).members.map(({ name }) => name).sort()

  /** Taken down with proof and brought up with these alone, every file is right. */
  const enough = async (...without: string[]): Promise<void> => {
    await verb(lab(), ['down', 'photos'])
    await verb(lab(), ['up', 'photos', '--degraded=ro', ...without.flatMap((name) => ['--without', name])])
    await everyFileIsRight(lab())
    await verb(lab(), ['down', 'photos'])
  }

  /** A change that goes on while the test looks at it. */
  const begun = (args: readonly string[]) => lab().client.start(lab().client.cloudvaultArgv(args))

  const ended = (): Promise<void> =>
    expect
      .poll(async () => (await status(lab())).job?.phase ?? 'none', { timeout: 600_000, interval: 2000 })
      .toBe('none')

  /** The monitor may be done before anybody asks. */
  const resumed = async (...flags: string[]): Promise<void> => {
    const { code, stderr } = await lab().client.cloudvault(['resume', 'photos', ...flags], {
      deadlineMs: 600_000,
    })
    expect([0, 7], stderr).toContain(code)
    await ended()
  }

  const profile = (): Promise<string> => lab().client.readFile('/etc/cloudvault/photos.yaml')

  /** Nothing of the vault is on a server that takes no part. */
  const emptied = async (name: string): Promise<void> => {
    const { stdout } = await lab().server(name).run('ls /srv/cloudvault /etc/cloudvault 2>&1; true')
    expect(stdout).not.toMatch(/photos/)
  }

  /** Given up while the kernel works for that command: as it was before, healthy, and nothing of the newcomer is left. */
  const givenUp = async (args: readonly string[], command: string, newcomer?: string): Promise<void> => {
    const [before, was] = [await members(), await profile()]
    const running = begun(args)
    await movesWith(lab(), command)
    await verb(lab(), ['cancel', 'photos', '--yes'])
    await running.wait()
    const report = await status(lab())
    expect(report.job).toBeUndefined()
    await verdictBecomes(lab(), 'healthy', 120)
    expect(await members()).toEqual(before)
    expect(await profile()).toBe(was)
    if (newcomer !== undefined) await emptied(newcomer)
  }

  return { joins, whileWriting, members, enough, begun, ended, resumed, profile, emptied, givenUp }
}
