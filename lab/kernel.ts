/**
 * User-Mode Linux 6.1 dies at init on processors with AMX unless a small library (xstate.c) is preloaded. It is compiled
 * only on such machines, once, beside the images.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import path from 'node:path'
import { cacheRoot } from './cache.ts'
import { exec } from './exec.ts'
import { repository } from './names.ts'

/** Whether this processor needs the library, and so this machine a C compiler. */
export const needsShim = (): boolean =>
  /^flags\s*:.*\bamx_tile\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'))

/**
 * The library to preload, compiled if it is not there yet; null where none is needed.
 * @throws LabError with the compiler's words.
 */
export const kernelShim = async (): Promise<string | null> => {
  if (!needsShim()) return null
  const source = path.join(repository(), 'lab/xstate.c')
  const hash = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16)
  const ready = path.join(cacheRoot(), `xstate-${hash}.so`)
  if (existsSync(ready)) return ready
  mkdirSync(cacheRoot(), { recursive: true })
  const making = `${ready}.${process.pid}`
  await exec(['cc', '-O2', '-shared', '-fPIC', '-o', making, source])
  renameSync(making, ready)
  return ready
}
