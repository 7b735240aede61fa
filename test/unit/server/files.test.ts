import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { putFile } from '../../../src/server/files.ts'
import { scriptedHost } from '../support/scripted-host.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cv-files-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Runs what would be run on a server, here, with this much of the text arriving. */
const put = (path: string, text: string, arrives: string): number | null => {
  const { argv } = putFile(scriptedHost('fsn', []), path, text, '0640').command
  return spawnSync(argv[0] ?? '', argv.slice(1), { input: arrives }).status
}

describe('a file written on a server', () => {
  test('is whole, in a directory that was missing', () => {
    const path = join(folder, 'etc/vault/receipt.json')
    expect(put(path, 'gänzlich\n', 'gänzlich\n')).toBe(0)
    expect(readFileSync(path, 'utf8')).toBe('gänzlich\n')
  })

  test('stays as it was when the connection is cut half-way, or before the first byte', () => {
    const path = join(folder, 'receipt.json')
    put(path, 'old\n', 'old\n')
    for (const arrives of ['', 'ne']) {
      expect(put(path, 'new\n', arrives)).not.toBe(0)
      expect(readFileSync(path, 'utf8')).toBe('old\n')
    }
    expect(put(join(folder, 'other'), 'new\n', '')).not.toBe(0)
    expect(existsSync(join(folder, 'other'))).toBe(false)
  })
})
