/**
 * The registry of labs on this machine: who owns which lab and where its things are. Written before anything is made.
 * A lab whose owner died is swept by the next one that starts.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { registry, type ServerName, stateDir } from './names.ts'
import { aliveSince, startOf } from './processes.ts'

export interface LabState {
  readonly id: string
  /** Scratch directory: disks, overlays, keys, logs. */
  readonly dir: string
  /** The process that will stop it; null: it stays until somebody takes it down. */
  readonly owner: { readonly pid: number; readonly start: string } | null
  readonly servers: readonly ServerName[]
  readonly bystander: boolean
  /** Whether there is a second client. */
  readonly laptop: boolean
  readonly init: 'light' | 'systemd'
  readonly memoryMiB: number
  readonly clientDisk: string
  readonly serverRoot: string
  /** The checkout whose cloudvault the client runs. */
  readonly repository: string
  /** Exact node that starts it, as a path of the host. */
  readonly node: string
  /** Library the client's kernel needs on this processor; null where it needs none. */
  readonly shim: string | null
  readonly startedAt: string
  /** True from the moment `startLab` is done. */
  readonly ready: boolean
}

const file = (id: string): string => path.join(stateDir(id), 'state.json')

export const saveState = (state: LabState): void => {
  const dir = stateDir(state.id)
  // Another process may be sweeping: an entry appears whole, or not at all.
  const making = existsSync(dir) ? dir : path.join(registry, `.${state.id}`)
  mkdirSync(making, { recursive: true, mode: 0o700 })
  const target = path.join(making, 'state.json')
  writeFileSync(`${target}.new`, `${JSON.stringify(state, null, 2)}\n`)
  renameSync(`${target}.new`, target)
  if (making !== dir) renameSync(making, dir)
}

/** Every lab on this machine, dead or alive; null stands for an entry without readable state. */
export const allStates = (): Map<string, LabState | null> => {
  const found = new Map<string, LabState | null>()
  for (const id of existsSync(registry)
    ? readdirSync(registry).filter((name) => !name.startsWith('.'))
    : []) {
    try {
      found.set(id, JSON.parse(readFileSync(file(id), 'utf8')) as LabState)
    } catch {
      found.set(id, null)
    }
  }
  return found
}

/** Whether somebody still answers for this lab. */
export const isOwned = (state: LabState): boolean =>
  state.owner === null || aliveSince(state.owner.pid, state.owner.start)

export const thisProcess = (): { pid: number; start: string } => ({
  pid: process.pid,
  start: startOf(process.pid),
})
