import { expect } from 'vitest'
import type { Lab } from '../../lab/index.ts'
import { everyFileIsRight, status, writeDuring } from './drills/work.ts'
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

  return { joins, whileWriting, members, enough }
}
