import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Fault } from '../../../src/fault.ts'
import { requirePrivate } from '../../../src/host/private.ts'

/** The directory that keys lie in: ours alone, or not looked at. */

let root = ''
const uid = process.getuid?.() ?? 0
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cloudvault-private-'))
  await mkdir(join(root, 'state/photos'), { recursive: true, mode: 0o700 })
})
afterEach(() => rm(root, { recursive: true }))

const path = () => join(root, 'state/photos')
const refusal = async (who = uid): Promise<Fault> => {
  const error = await requirePrivate('the state directory', path(), who).catch((fault: unknown) => fault)
  expect(error).toBeInstanceOf(Fault)
  expect((error as Fault).exit).toBe(5)
  expect((error as Fault).details.next).toBeDefined()
  return error as Fault
}

describe('a state directory', () => {
  test('of our own, closed to others, is fine; so is one that is not there yet', async () => {
    await requirePrivate('the state directory', path(), uid)
    await requirePrivate('the state directory', join(path(), 'not', 'there'), uid)
  })

  test('open to others is refused, and the command that closes it is printed', async () => {
    await chmod(path(), 0o750)
    const fault = await refusal()
    expect(fault.message).toContain('is open to others (mode 750)')
    expect(fault.details.next).toBe(`chmod 700 ${path()}`)
  })

  test('that is a link, or a file, is refused', async () => {
    await rm(path(), { recursive: true })
    await symlink(root, path())
    expect((await refusal()).message).toContain('is a symbolic link')
    await rm(path())
    await writeFile(path(), '', { mode: 0o600 })
    expect((await refusal()).message).toContain('is not a directory')
  })

  test('under a directory that others may write to is refused, and it is named', async () => {
    await chmod(join(root, 'state'), 0o777)
    expect((await refusal()).message).toContain(`${join(root, 'state')} can be written by others`)
    // Nobody renames what is ours in a sticky one, such as /tmp.
    await chmod(join(root, 'state'), 0o1777)
    await requirePrivate('the state directory', path(), uid)
  })

  test('of somebody else is refused', async () => {
    expect((await refusal(uid + 1)).message).toContain(`belongs to user ${uid}`)
  })
})
