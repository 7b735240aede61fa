import type { Profile } from '../profile/profile.ts'
import type { MemberReport } from './status.ts'

/** What was counted on a member, said as what its provider does wrong, and what helps against it. */

/**
 * "gra (ovh): writes refused 12 (a full or failing disk does that), blocks wrong 3; its copy may be wrong in places".
 * The kernel calls every refusal an I/O error, so nobody here can tell full from broken.
 */
export const complaint = (member: MemberReport): string => {
  const { read = 0, corruption = 0, generation = 0 } = member.errors ?? {}
  const said = [
    ...(refused(member) > 0 ? [`writes refused ${refused(member)} (a full or failing disk does that)`] : []),
    ...(read > 0 ? [`reads failed ${read}`] : []),
    ...(corruption + generation > 0 ? [`blocks wrong ${corruption + generation}`] : []),
  ]
  return `${member.name} (${member.provider}): ${said.join(', ')}; its copy may be wrong in places`
}

/** Commands for members that errors were counted on. */
export const cures = ({ vault, filesystem }: Profile, stale: readonly MemberReport[]): string[] => {
  if (filesystem.assured === 'single') return [`cloudvault scrub ${vault}   (names the files that were hit)`]
  const full = stale.filter((member) => refused(member) > 0).map((member) => member.provider)
  return full.length === 0
    ? [`cloudvault resilver ${vault}`]
    : [`cloudvault resilver ${vault}   when the disk at ${full.join(', ')} takes writes again (is it full?)`]
}

const refused = ({ errors }: MemberReport): number => (errors ? errors.write + errors.flush : 0)
