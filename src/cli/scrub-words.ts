import { Exit, type ExitCode } from '../fault.ts'
import { openProfile } from '../profile/find.ts'
import { vaultPaths } from '../record/paths.ts'
import type { ScrubState } from '../stack/scrub.ts'
import { jsonLine } from '../ui/json.ts'
import { escapeLine } from '../ui/style.ts'
import { bytes, count, duration } from '../ui/text.ts'
import { readHistory, type ScrubResult } from '../vault/scrubbed.ts'
import type { World } from './world.ts'

/** What a scrub says: its result, the result of one that was followed, and the results before. */

interface Told {
  readonly vault: string
  readonly state: ScrubState
  readonly found: ScrubResult['members']
  /** Files and folders that cannot be read whole. */
  readonly damaged: readonly string[]
}

export const tell = (world: World, { vault, state, found, damaged }: Told, json: boolean): ExitCode => {
  if (json)
    world.stdout.write(jsonLine({ schema: 'cloudvault.scrub/1', vault, ...state, members: found, damaged }))
  else {
    const lines = [
      ...found.flatMap(wrong),
      `${vault}: ${bytes(state.bytes)} read; ${outcome(state.status, state)}`,
      ...(state.uncorrectable > 0 ? aboutDamage(vault, damaged) : []),
    ]
    world.stdout.write(`${lines.join('\n')}\n`)
  }
  return exitOf(state.status, state.uncorrectable)
}

/** Of a scrub that another process ran; which files it found damaged was said there. */
export const tellFollowed = (world: World, vault: string, result: ScrubResult, json: boolean): ExitCode => {
  const { state: status, bytes: read, corrected, uncorrectable, members } = result
  if (json)
    world.stdout.write(
      jsonLine({
        schema: 'cloudvault.scrub/1',
        ...{ vault, status, bytes: read, corrected, uncorrectable, members },
        followed: true,
      }),
    )
  else
    world.stdout.write(
      `${[...members.flatMap(wrong), `${vault}: ${bytes(read)} read; ${outcome(status, result)}`].join('\n')}\n`,
    )
  return exitOf(status, uncorrectable)
}

const exitOf = (status: ScrubState['status'], uncorrectable: number): ExitCode =>
  uncorrectable > 0 ? Exit.integrity : status === 'finished' ? Exit.ok : Exit.decide

const wrong = ({ member, provider, blocks }: ScrubResult['members'][number]): string[] =>
  blocks > 0 ? [`${member} (${escapeLine(provider)}) held ${count(blocks, 'wrong block')}`] : []

const outcome = (
  status: ScrubState['status'],
  { corrected, uncorrectable }: Pick<ScrubState, 'corrected' | 'uncorrectable'>,
): string => {
  const found =
    uncorrectable > 0
      ? `${uncorrectable} blocks could not be mended`
      : corrected > 0
        ? `${corrected} blocks were mended from another copy`
        : ''
  if (status !== 'finished') return ['it was stopped before its end', ...(found ? [found] : [])].join('; ')
  if (uncorrectable > 0) return found
  return corrected > 0 ? `${found}; every copy is right now` : 'every copy of everything is right'
}

const aboutDamage = (vault: string, damaged: readonly string[]): string[] =>
  damaged.length === 0
    ? [
        'every file can be read: what is wrong has a right copy elsewhere, but its server does not take it',
        `next: cloudvault status ${vault}   (names the server)`,
      ]
    : [
        `${count(damaged.length, 'file')} cannot be read whole; nothing wrong is ever served instead:`,
        ...damaged.map((path) => `  ${escapeLine(path)}`),
        `next: bring them back from a backup or delete them, then cloudvault scrub ${vault}`,
      ]

/** `scrub --history`: contacts nobody, needs no mount. */
export const showHistory = async (world: World, name: string, json: boolean): Promise<ExitCode> => {
  const { profile } = await openProfile(name, world.env, { uid: world.uid })
  const results = await readHistory(vaultPaths(profile.vault, world.env).scrubs)
  if (json)
    world.stdout.write(jsonLine({ schema: 'cloudvault.scrub-history/1', vault: profile.vault, results }))
  else if (results.length === 0)
    world.stdout.write(
      `${profile.vault} was not scrubbed from here yet\nnext: cloudvault scrub ${profile.vault}\n`,
    )
  else world.stdout.write(`${results.map(historyLine).join('\n')}\n`)
  return Exit.ok
}

/** "2026-11-01 03:41  1.2 TiB in 5 h 2 min  76 blocks mended; gra (ovh) held 76 wrong blocks" */
const historyLine = (result: ScrubResult): string => {
  const { state, finishedAt, durationMs, bytes: read, corrected, uncorrectable, members, damaged } = result
  const said = [
    ...(state === 'aborted' ? ['stopped before its end'] : []),
    ...(corrected > 0 ? [`${corrected} blocks mended`] : []),
    ...(uncorrectable > 0 ? [`${uncorrectable} blocks beyond repair`] : []),
    ...(damaged > 0 ? [`${count(damaged, 'file')} damaged`] : []),
    ...members.flatMap(wrong),
  ]
  const when = finishedAt.slice(0, 16).replace('T', ' ')
  return `${when}  ${bytes(read)} in ${duration(durationMs)}  ${said.length > 0 ? said.join('; ') : 'clean'}`
}
