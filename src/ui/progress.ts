import type { World } from '../cli/world.ts'
import type { Progress, WorkPhase } from '../vault/progress.ts'
import { bytes, count, duration } from './text.ts'

/** Long work, told in lines: they read well in a log, and say that it is alive. */

const words: Record<WorkPhase, string> = {
  mend: 'mending (1 of 3)',
  mirror: 'mirroring (2 of 3)',
  prove: 'reading every copy',
  convert: 'storing everything anew',
  copy: 'copying to the new member',
  leave: 'moving off the member that goes',
}

const verbs: Record<Exclude<WorkPhase, 'copy'>, string> = {
  mend: 'read',
  mirror: 'stored anew',
  prove: 'read',
  convert: 'stored anew',
  leave: 'moved',
}

/** "mending (1 of 3): 43 %, 1.2 GiB read, 76 blocks mended, about 2 min left" */
export const progressLine = ({ phase, share, done, corrected, etaMs }: Progress): string =>
  [
    `${words[phase]}: ${Math.floor(share * 100)} %`,
    ...(phase === 'copy' ? [] : [`${bytes(done)} ${verbs[phase]}`]),
    ...(corrected > 0 ? [`${count(corrected, 'block')} mended`] : []),
    ...(etaMs === undefined ? [] : [`about ${duration(etaMs)} left`]),
  ].join(', ')

/** A line every ten seconds, and one whenever another phase begins. */
export const progressLines = (
  world: Pick<World, 'stderr'>,
  quiet: boolean,
): ((progress: Progress) => void) => {
  let last = performance.now()
  let phase = ''
  return (progress) => {
    if (quiet || (performance.now() - last < 10_000 && (phase === '' || phase === progress.phase))) {
      phase ||= progress.phase
      return
    }
    last = performance.now()
    phase = progress.phase
    world.stderr.write(`${progressLine(progress)}\n`)
  }
}
