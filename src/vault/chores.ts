import type { Profile } from '../profile/profile.ts'
import { formatSize } from '../profile/units.ts'
import type { RecordData } from '../record/record.ts'

/** What may wait, when nothing else is to be done. */
export const chores = ({ vault, members }: Profile, record: RecordData | null, kit: boolean): string[] => [
  ...members.flatMap(({ name, disk }) => {
    const { resizingTo } = record?.members[name] ?? {}
    if (resizingTo === undefined) return []
    const size = disk.kind === 'file' ? formatSize(resizingTo) : 'max'
    return [`cloudvault resize ${vault} ${name} ${size}   (goes on where it was cut off)`]
  }),
  ...(kit ? [`cloudvault kit ${vault}`] : []),
]
