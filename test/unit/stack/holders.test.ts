import { spawn } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { endHolders, holdersOf, mappedFiles } from '../../../src/stack/holders.ts'
import { scratch } from '../support/scratch.ts'

const program = async (script: string, cwd: string) => {
  const child = spawn('sh', ['-c', `${script}echo ready; exec sleep 60`], { cwd })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  return child
}

describe('programs that hold a mount', () => {
  test('are listed with pid, command and what they hold', async () => {
    const at = await scratch()
    const child = await program('', at)
    const holders = await holdersOf(at)
    expect(holders).toMatchObject([{ pid: child.pid, what: `cwd ${at}` }])
    expect(await endHolders(holders)).toEqual([])
    expect(await holdersOf(at)).toEqual([])
  })

  test('one that does not hear SIGTERM is ended all the same', async () => {
    const at = await scratch()
    const child = await program("trap '' TERM; ", at)
    const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)))
    expect(await endHolders(await holdersOf(at))).toEqual([])
    expect(await ended).toBe('SIGKILL')
  }, 30_000)

  test('a pid that another program has by now is left alone', async () => {
    const at = await scratch()
    const child = await program('', at)
    const [holder] = await holdersOf(at)
    expect(await endHolders(holder ? [{ ...holder, started: '1' }] : [])).toEqual([])
    expect(await holdersOf(at)).toHaveLength(1)
    child.kill('SIGKILL')
  })

  test('files that are only mapped', () => {
    const maps = `7f00-7f01 r--p 00000000 08:01 12  /vault/photos/a b.db
7f02-7f03 rw-p 00000000 00:00 0 
7ffc-7ffd rw-p 00000000 00:00 0                          [stack]`
    expect(mappedFiles(maps)).toEqual(['/vault/photos/a b.db'])
  })
})
