import type { World } from './world.ts'

/** Streams and environment alone: enough to print an error, needs nothing loaded. */
export const plainWorld = (): Pick<World, 'stdin' | 'stdout' | 'stderr' | 'env'> => ({
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
})
