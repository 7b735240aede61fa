import { Exit, type ExitCode } from '../fault.ts'
import type { Member, Profile } from '../profile/profile.ts'
import type { Applied } from '../server/apply.ts'
import { jsonLine } from '../ui/json.ts'
import { escapeLine, escapeText } from '../ui/style.ts'
import { bytes } from '../ui/text.ts'
import type { ResizePlan } from '../vault/resize-plan.ts'
import type { PlannedStep } from './plan.ts'
import type { World } from './world.ts'

/** What a resize says: before the question, in a dry run, at the end. */

/** Before the question on stderr; in a dry run it is the result, with the commands of every step. */
export const describePlan = (
  world: World,
  profile: Profile,
  member: Member,
  { plan, lines, steps, shown }: Described,
  options: { readonly dryRun?: boolean; readonly json?: boolean },
): void => {
  if (!options.dryRun) {
    world.stderr.write(`${planLines(profile, member, plan, lines).join('\n')}\n`)
    return
  }
  if (options.json) {
    world.stdout.write(jsonLine({ ...shown, dryRun: true, steps }))
    return
  }
  const text = [...planLines(profile, member, plan, lines), ...steps.flatMap(stepLines)]
  world.stdout.write(`${text.join('\n')}\nnothing was changed (dry run)\n`)
}

interface Described {
  readonly plan: ResizePlan
  /** How the profile will differ. */
  readonly lines: readonly string[]
  readonly steps: readonly PlannedStep[]
  readonly shown: object
}

const planLines = (
  { vault, path, members }: Profile,
  member: Member,
  plan: ResizePlan,
  changed: readonly string[],
): string[] => {
  const { fromBytes, toBytes, usableBefore, usableAfter, usedBytes, moveBytes, reserveBytes } = plan
  const others = members.filter(({ name }) => name !== member.name).map(({ name }) => name)
  return [
    `${member.name} (${escapeLine(member.provider)}): ${bytes(fromBytes)} → ${bytes(toBytes)}`,
    `  usable in ${vault}: ${bytes(usableBefore)} → ${bytes(usableAfter)}; ${bytes(usedBytes)} are used`,
    ...(toBytes > fromBytes && usableAfter === usableBefore && others.length > 0
      ? [`  nothing more fits until ${others.join(', ')} grows too: every block is on more than one member`]
      : []),
    ...(reserveBytes > 0 ? [`  its server reserves ${bytes(reserveBytes)} more`] : []),
    ...(toBytes < fromBytes
      ? [`  ${bytes(moveBytes)} of it lie behind the new end and are moved first`]
      : []),
    '  what is written waits for some seconds while the export is restarted',
    ...(changed.length > 0 ? [`  ${path}:`, ...changed.map((line) => `    ${escapeText(line)}`)] : []),
  ]
}

const stepLines = ({ step, now, found, commands }: PlannedStep): string[] => [
  `${step}: ${now === 'absent' ? 'will be done' : now === 'present' ? 'is so' : `${now}: ${found}`}`,
  ...commands.map((command) => `    ${command}`),
]

export const tell = (
  world: World,
  shown: ResizePlan & { readonly vault: string; readonly member: string },
  steps: readonly Applied[],
  kit: string | null,
  json: boolean,
): ExitCode => {
  if (json) {
    world.stdout.write(jsonLine({ ...shown, steps, kit }))
    return Exit.ok
  }
  const { vault, member, toBytes, usableAfter } = shown
  const lines =
    steps.length === 0
      ? [`${member}: no change, it has ${bytes(toBytes)}`]
      : [
          `${member} has ${bytes(toBytes)}; ${bytes(usableAfter)} fit in ${vault}`,
          kit
            ? `recovery kit: ${kit} is written anew; replace its copies`
            : `next: cloudvault kit ${vault}   (the recovery kit knows the old size; replace its copies)`,
        ]
  world.stdout.write(`${lines.join('\n')}\n`)
  return Exit.ok
}
