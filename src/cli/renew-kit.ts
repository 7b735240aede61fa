import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { writeKit } from '../vault/kit.ts'
import type { Context } from './context.ts'

/**
 * The recovery kit written anew where it was written last: what it held is not the whole truth any more.
 * @returns its path; null when that place is not here now (a stick that was taken out)
 */
export const renewKit = async (context: Context): Promise<string | null> => {
  const known = context.record?.kit?.path
  if (!known || !(await stat(dirname(known)).catch(() => null))) return null
  return writeKit(context.vault, dirname(known))
}
