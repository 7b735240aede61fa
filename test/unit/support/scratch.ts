import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** A folder of the test that asks for it, gone when that test has ended. */
export const scratch = async (): Promise<string> => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'cloudvault-test-')))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}
