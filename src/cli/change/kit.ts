import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { readRecord } from '../../record/record.ts'
import { writeKit } from '../../vault/kit.ts'
import type { Context } from '../context.ts'
import type { World } from '../world.ts'

/** Every change of members makes the recovery kit anew: the older ones lack a header that is needed now. */
export const newKit = async (world: World, { paths, vault }: Context): Promise<void> => {
  const last = (await readRecord(paths.record))?.kit?.path
  const usual = last === undefined ? paths.state : dirname(last)
  const there = await stat(usual).then(
    (entry) => entry.isDirectory(),
    () => false,
  )
  const kit = await writeKit(vault, there ? usual : paths.state)
  world.stderr.write(
    `recovery kit: ${kit}${there ? '' : `   (${usual} is not there now)`}: replace the copies you keep elsewhere\n`,
  )
}
