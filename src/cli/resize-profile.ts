import type { Step } from '../engine/step.ts'
import { setMemberSize } from '../profile/edit.ts'
import { openProfile } from '../profile/find.ts'
import type { Member } from '../profile/profile.ts'
import { writeProfile } from '../profile/write.ts'
import { changedLines } from '../ui/difference.ts'
import type { Context } from './context.ts'
import type { World } from './world.ts'

/** The new size of a disk, written into the profile as one of the steps of a resize; and how the file will differ. */

export interface Edit {
  readonly step: Step
  readonly lines: readonly string[]
}

/** The profile says how large a file is; nothing about a block device. */
export const profileEdit = async (
  world: World,
  context: Context,
  member: Member,
  toBytes: number,
): Promise<Edit | null> => {
  if (member.disk.kind !== 'file') return null
  const { path } = context.profile
  const read = () => openProfile(path, world.env, { uid: world.uid })
  const edited = (text: string): string => setMemberSize(text, member.name, toBytes)
  const { text } = await read()
  const sizeNow = async (): Promise<number> => {
    const found = (await read()).profile.members.find((entry) => entry.name === member.name)
    return found?.disk.kind === 'file' ? found.disk.sizeBytes : 0
  }
  const step: Step = {
    name: `profile ${member.name}`,
    needs: [],
    probe: async () => ((await sizeNow()) === toBytes ? { is: 'present' } : { is: 'absent' }),
    up: [
      {
        on: world.local,
        text: `write ${path}: disk.size of ${member.name}`,
        call: async () => {
          const { text: now } = await read()
          await writeProfile(path, now, edited(now))
        },
      },
    ],
    down: [],
  }
  const same = member.disk.sizeBytes === toBytes
  return { step, lines: same ? [] : changedLines(text, edited(text)) }
}
