import { spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { stripVTControlCharacters } from 'node:util'

/**
 * A person at a real terminal: `script` (bsdutils, on every Debian) gives the program a pty, and here are the eyes
 * and the fingers. Nothing is typed before its question is on the screen.
 */

export interface Pty {
  /** Waits until the screen shows this text, behind what was seen and typed before. */
  sees(text: string): Promise<void>
  /** Waits for the text, then types the keys. */
  answers(question: string, keys: string): Promise<void>
  /** Exit code, when the program has ended. */
  exit(): Promise<number>
  /** Everything shown so far, without colours and cursor movements. */
  readonly screen: string
  /** The same as the terminal got it. */
  readonly raw: string
  /** Ends it hard. */
  close(): void
}

export const keys = { enter: '\r', down: '\u001b[B', ctrlC: '\u0003', ctrlD: '\u0004' }

/** No question takes longer than this to come up, on a busy machine as well. */
const patienceMs = 20_000

/** Runs a shell line on a pty of 100 columns. */
export const startPty = (line: string, env: Record<string, string> = {}): Pty => {
  const child = spawn('script', ['-qefc', `stty cols 100 rows 40; ${line}`, '/dev/null'], {
    cwd: tmpdir(),
    env: {
      PATH: process.env.PATH ?? '/usr/bin:/bin',
      SHELL: '/bin/sh',
      TERM: 'xterm',
      LANG: 'C.UTF-8',
      ...env,
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let raw = ''
  let seen = 0
  let wake = (): void => {}
  child.stdout.on('data', (chunk: Buffer) => {
    raw += chunk.toString()
    wake()
  })
  child.stdin.on('error', () => {}) // it may end while we type
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      wake()
      resolve(code ?? -1)
    })
  })
  const screen = (): string => stripVTControlCharacters(raw).replaceAll('\r', '')
  const sees = async (text: string): Promise<void> => {
    const end = Date.now() + patienceMs
    while (!screen().slice(seen).includes(text)) {
      if (child.exitCode !== null || Date.now() > end)
        throw new Error(`never saw "${text}" in:\n${screen().slice(seen)}`)
      await new Promise<void>((resolve) => {
        wake = resolve
        setTimeout(resolve, 200)
      })
    }
    seen += screen().slice(seen).indexOf(text) + text.length
  }
  return {
    sees,
    answers: async (question, typed) => {
      await sees(question)
      seen = screen().length
      child.stdin.write(typed)
    },
    exit: () => ended,
    close: () => {
      child.kill('SIGKILL')
    },
    get screen() {
      return screen()
    },
    get raw() {
      return raw
    },
  }
}
