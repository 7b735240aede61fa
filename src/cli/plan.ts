import { describe } from '../engine/action.ts'
import type { Step } from '../engine/step.ts'
import { jsonLine } from '../ui/json.ts'
import type { World } from './world.ts'

/**
 * --dry-run: what each step would do, printed from the very values that the run executes. Nothing is changed; the
 * steps are looked at, and that is all.
 */

export interface PlannedStep {
  readonly step: string
  readonly now: 'absent' | 'present' | 'differs' | 'unknown'
  readonly found?: string
  readonly commands: readonly string[]
}

/** @param direction `up`: what is absent would be made; `down`: what stands would be undone, newest first */
export const planOf = async (steps: readonly Step[], direction: 'up' | 'down'): Promise<PlannedStep[]> => {
  const ordered = direction === 'up' ? steps : [...steps].reverse()
  return Promise.all(
    ordered.map(async (step) => {
      const finding = await step.probe()
      const actions =
        direction === 'down'
          ? finding.is === 'absent' || step.shared
            ? []
            : step.down
          : finding.is === 'absent'
            ? step.up
            : finding.is === 'present'
              ? (step.refresh ?? [])
              : finding.is === 'differs'
                ? (step.mend ?? [])
                : []
      const found =
        finding.is === 'differs' ? finding.found : finding.is === 'unknown' ? finding.why : undefined
      return {
        step: step.name,
        now: finding.is,
        ...(found ? { found } : {}),
        commands: actions.map(describe),
      }
    }),
  )
}

const heading = {
  up: { absent: 'will be made', present: 'exists' },
  down: { absent: 'is not there', present: 'will be undone' },
} as const

/** To stdout, because the plan is the result. */
export const printPlan = async (
  world: World,
  schema: string,
  steps: readonly Step[],
  direction: 'up' | 'down',
  json: boolean,
): Promise<void> => {
  const plan = await planOf(steps, direction)
  if (json) {
    world.stdout.write(jsonLine({ schema, dryRun: true, steps: plan }))
    return
  }
  for (const entry of plan) {
    const state =
      entry.now === 'absent' || entry.now === 'present'
        ? heading[direction][entry.now]
        : `${entry.now}: ${entry.found}`
    world.stdout.write(`${entry.step}: ${state}\n`)
    for (const command of entry.commands) world.stdout.write(`    ${command}\n`)
  }
  world.stdout.write('nothing was changed (dry run)\n')
}

/** Rows for ui/tasks.ts: steps of one member together, the rest under the vault. */
export const groupsOf = (vault: string, members: readonly string[], steps: readonly Pick<Step, 'name'>[]) => {
  const memberOf = (step: string): string => members.find((member) => step.endsWith(` ${member}`)) ?? vault
  return [...members, vault].map((name) => ({
    group: name,
    steps: steps.map((step) => step.name).filter((step) => memberOf(step) === name),
  }))
}
