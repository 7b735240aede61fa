import { PassThrough, Writable } from 'node:stream'
import type { World } from '../../../src/cli/world.ts'
import { perform } from '../../../src/engine/action.ts'
import type { Command, Host, Output } from '../../../src/host/host.ts'

/** A world made of memory: streams that remember, a local host that answers from a script, nobody at the keyboard. */

export interface MemoryStream extends Writable {
  readonly text: string
  isTTY?: boolean
  columns?: number
}

/** A stream that keeps what is written to it. */
export const memoryStream = (look: { isTTY?: boolean; columns?: number } = {}): MemoryStream => {
  let text = ''
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      text += String(chunk)
      done()
    },
  })
  Object.defineProperty(stream, 'text', { get: () => text })
  return Object.assign(stream, look) as unknown as MemoryStream
}

export interface TestWorld extends World {
  readonly stdout: MemoryStream
  readonly stderr: MemoryStream
  /** Commands the local host was given, in order. */
  readonly commands: Command[]
  /** Presses Ctrl-C. */
  interrupt(): void
}

export interface WorldScript {
  readonly env?: Record<string, string>
  /** Answers of the local host; default: exit 0 without output. */
  readonly run?: (command: Command) => Output | Promise<Output>
  readonly connect?: World['connect']
  /** Whether stdin and stderr look like terminals. */
  readonly terminal?: boolean
}

/** A world for one test. Without a script: no terminal, UTF-8, every local command succeeds, no server answers. */
export const testWorld = (script: WorldScript = {}): TestWorld => {
  const commands: Command[] = []
  const controller = new AbortController()
  const look = script.terminal ? { isTTY: true, columns: 80 } : {}
  const local: Host = {
    name: 'here',
    run: async (command) => {
      commands.push(command)
      return script.run ? script.run(command) : { code: 0, stdout: '', stderr: '' }
    },
  }
  return {
    local: local as World['local'],
    connect: script.connect ?? (() => Promise.reject(new Error('this test has no servers'))),
    env: { LANG: 'C.UTF-8', ...script.env },
    stdin: Object.assign(new PassThrough(), look),
    stdout: memoryStream(),
    stderr: memoryStream(look),
    uid: 0,
    self: ['node', 'cloudvault'],
    signal: controller.signal,
    perform,
    commands,
    interrupt: () => controller.abort(),
  }
}
