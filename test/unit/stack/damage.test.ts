import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LocalHost } from '../../../src/host/local.ts'
import { damagedFiles, unreadableFolders } from '../../../src/stack/damage.ts'

const local = new LocalHost(process.env)

test('files that can be read are not listed, whatever they are called', async () => {
  const at = mkdtempSync(join(tmpdir(), 'damage-'))
  try {
    mkdirSync(join(at, 'album'))
    for (const name of ['plain', "album/it's", 'album/two\nlines', '-rf', 'empty'])
      writeFileSync(join(at, name), name === 'empty' ? '' : name)
    expect(await damagedFiles(local, at, new AbortController().signal)).toEqual([])
  } finally {
    rmSync(at, { recursive: true })
  }
})

test('what cannot be read is listed by its name: a file, and a folder', async () => {
  // No disk here gives I/O errors on demand; a program that fails on one name stands in for dd.
  const host = {
    name: 'here',
    run: async () => ({
      code: 1,
      stdout: '/v/a\0/v/two\nlines\0',
      stderr: "dd: error reading '/v/a': Input/output error\nfind: '/v/album': Input/output error\n",
    }),
  }
  expect(await damagedFiles(host, '/v', new AbortController().signal)).toEqual([
    '/v/a',
    '/v/two\nlines',
    '/v/album',
  ])
})

test('a folder is told from other complaints of find', () => {
  expect(
    unreadableFolders('find: ‘/v/x’: Input/output error\nfind: ‘/v/y’: No such file or directory\n'),
  ).toEqual(['/v/x'])
})

test('Ctrl-C ends the reading', async () => {
  const controller = new AbortController()
  const long = local.run({ argv: ['sleep', '30'], signal: controller.signal })
  controller.abort()
  expect((await long).code).toBeNull()
})
