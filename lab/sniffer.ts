/** What passes on a machine's wire: frames, bytes, and in how many frames certain bytes were found. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { LabError, launch, until } from './exec.ts'
import { bridgeNamespace, port } from './names.ts'
import { aliveSince, signal, startOf } from './processes.ts'
import type { LabState } from './state.ts'

export interface Seen<Needle extends string> {
  readonly frames: number
  readonly bytes: number
  readonly found: Readonly<Record<Needle, number>>
}

export interface Sniffer<Needle extends string> {
  /** Ends it. @returns what passed since it began */
  stop(): Promise<Seen<Needle>>
}

/** @throws LabError when it does not start */
export const startSniffer = async <Needle extends string>(
  state: LabState,
  name: string,
  needles: Readonly<Record<Needle, Uint8Array>>,
): Promise<Sniffer<Needle>> => {
  const ready = path.join(state.dir, `sniff-${name}`)
  const log = `${ready}.log`
  for (const file of [ready, log]) rmSync(file, { force: true })
  const hex = Object.entries<Uint8Array>(needles).map(([key, bytes]) => [
    key,
    Buffer.from(bytes).toString('hex'),
  ])
  const script = path.join(state.repository, 'lab/sniff.mjs')
  const inside = ['ip', 'netns', 'exec', bridgeNamespace(state.id), state.node, script]
  const pid = launch([...inside, port(name), JSON.stringify(Object.fromEntries(hex)), ready], log)
  const start = startOf(pid)
  await until(`the listener at ${name}`, 20_000, () => {
    if (!aliveSince(pid, start))
      throw new LabError(`the listener at ${name} ended:\n${readFileSync(log, 'utf8')}`)
    return existsSync(ready)
  })
  return {
    stop: async () => {
      signal(pid, 'SIGTERM')
      await until(`the listener at ${name} ends`, 20_000, () => !aliveSince(pid, start))
      return JSON.parse(readFileSync(log, 'utf8')) as Seen<Needle>
    },
  }
}
