import { execFile } from 'node:child_process'
import { link, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { bundling } from '../../../scripts/bundling.mjs'
import { destroyFile, exchangeFile, oneByOne } from '../../../src/host/files.ts'
import { scratch } from '../support/scratch.ts'

/** The monitor and a verb change the same file: no change may be lost. */

const count = async (path: string): Promise<number> => Number(await readFile(path, 'utf8'))
const addOne = (path: string): Promise<void> =>
  oneByOne(path, async () => {
    const before = await count(path)
    await new Promise((resolve) => setTimeout(resolve, 2))
    await writeFile(path, `${before + 1}`)
  })
const number = async (): Promise<string> => {
  const path = join(await scratch(), 'number')
  await writeFile(path, '0')
  return path
}

test('changes of one process and of another come one after the other', async () => {
  const path = await number()
  const script = `import { destroyFile, exchangeFile, oneByOne } from ${JSON.stringify(join(process.cwd(), 'out/unit/files.mjs'))}
    import { readFile, writeFile } from 'node:fs/promises'
    for (let i = 0; i < 40; i++) await oneByOne(process.argv[1], async () => {
      await writeFile(process.argv[1], String(Number(await readFile(process.argv[1], 'utf8')) + 1)) })`
  const { build } = await import('esbuild')
  await build({
    entryPoints: ['src/host/files.ts'],
    outfile: 'out/unit/files.mjs',
    ...bundling,
  })
  const other = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, path])
  await Promise.all([other, ...Array.from({ length: 40 }, () => addOne(path))])
  expect(await count(path)).toBe(80)
})

test('what a killed process left is in nobody’s way for long', async () => {
  const path = await number()
  await writeFile(`${path}.changing`, '')
  const old = new Date(Date.now() - 60_000)
  await utimes(`${path}.changing`, old, old)
  await addOne(path)
  expect(await count(path)).toBe(1)
  expect(await readdir(join(path, '..'))).toEqual(['number'])
})

test('a change that fails gives the file back', async () => {
  const path = await number()
  await expect(oneByOne(path, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  await addOne(path)
  expect(await count(path)).toBe(1)
})

test('of a file of keys that is replaced or removed, no byte stays', async () => {
  const path = await number()
  const key = 'k'.repeat(10_000)
  await writeFile(path, key)
  await writeFile(`${path}.next`, 'another')
  await link(path, `${path}.seen`)
  await exchangeFile(`${path}.next`, path)
  expect(await readFile(path, 'utf8')).toBe('another')
  const left = await readFile(`${path}.seen`, 'latin1')
  expect([left.length, left.includes('kkkkkkkk')]).toEqual([key.length, false])
  await destroyFile(path)
  await destroyFile(path)
  expect(await readdir(dirname(path))).toEqual(['number.seen'])
})
