/**
 * A crash writes a process's memory to disk, and keys are in it. So there is none: not of this process, and not of any
 * program that it starts (the limit is inherited).
 */
import { libc } from './libc.ts'

export async function forbidCoreDumps(): Promise<void> {
  const sys = await libc()
  sys.forbidCoreDumps()
}
