/**
 * A slow link: a small process (wire.mjs) that carries frames between two devices of the bridge's namespace with a delay
 * and a rate. The host's kernel may have no netem, and netem inside User-Mode Linux stalls under load.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { LabError, launch, until } from './exec.ts'
import { bridgeNamespace } from './names.ts'
import { aliveSince, signal, startOf } from './processes.ts'
import type { LabState } from './state.ts'

export interface Shape {
  /** Delay in each direction; the round trip grows by twice this. */
  readonly delayMs?: number
  /** Limit in each direction, in 10^6 bit/s. */
  readonly mbit?: number
}

const stateFile = (state: LabState, name: string): string => path.join(state.dir, `wire-${name}`)

/** @throws LabError when the forwarder does not start. */
export const startWire = async (
  state: LabState,
  name: string,
  devices: readonly [string, string],
  shape: Shape,
): Promise<void> => {
  const log = `${stateFile(state, name)}.log`
  const ready = stateFile(state, name)
  rmSync(ready, { force: true })
  const inside = ['ip', 'netns', 'exec', bridgeNamespace(state.id)]
  const script = path.join(state.repository, 'lab/wire.mjs')
  const numbers = [String(shape.delayMs ?? 0), String(shape.mbit ?? 0)]
  const pid = launch([...inside, state.node, script, ...devices, ...numbers, ready], log)
  const start = startOf(pid)
  await until(`the slow link of ${name}`, 20_000, () => {
    if (!aliveSince(pid, start))
      throw new LabError(`the slow link of ${name} ended:\n${readFileSync(log, 'utf8')}`)
    return existsSync(ready)
  })
}

/** Ends the forwarder of a machine, if there is one. */
export const stopWire = async (state: LabState, name: string): Promise<void> => {
  const file = stateFile(state, name)
  if (!existsSync(file)) return
  const pid = Number(readFileSync(file, 'utf8'))
  rmSync(file, { force: true })
  const start = startOf(pid)
  signal(pid, 'SIGKILL')
  await until(`the slow link of ${name} ends`, 5_000, () => !aliveSince(pid, start))
}
