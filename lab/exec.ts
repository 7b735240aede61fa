/**
 * The lab's only door to other programs: every command has a deadline, every daemon gets its own session and a log
 * file. The lab is a tree of its own, so that it can test src/host without being built on it.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'

export interface Result {
  /** null: ended by a signal. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface ExecOptions {
  readonly input?: string | Uint8Array
  /** Milliseconds until the whole process group is killed and the call throws. Default 60,000. */
  readonly deadlineMs?: number
  /** A non-zero exit is an answer, not an error. */
  readonly allowFail?: boolean
  readonly env?: Readonly<Record<string, string>>
  /** Sends stdout and stderr to this file; `stdout` and `stderr` of the result are then empty. */
  readonly logFile?: string
}

/** A command of the lab failed or met its deadline. */
export class LabError extends Error {
  override name = 'LabError'
}

const tail = (text: string): string => text.trim().split('\n').slice(-15).join('\n')

/** What a failed command is called in an error: long scripts are cut. */
const title = (argv: readonly string[]): string => argv.join(' ').slice(0, 300)

const killGroup = (child: ChildProcess): void => {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // Already gone.
  }
}

/**
 * Runs one command to its end.
 * @throws LabError when it exits non-zero (unless allowFail), cannot be started, or its deadline passed.
 */
export const exec = (argv: readonly string[], options: ExecOptions = {}): Promise<Result> =>
  new Promise((resolve, reject) => {
    const [file, ...args] = argv
    if (file === undefined) throw new LabError('an empty command')
    const log = options.logFile === undefined ? 'pipe' : openSync(options.logFile, 'a')
    const child = spawn(file, args, {
      detached: true,
      stdio: ['pipe', log, log],
      env: { ...process.env, ...options.env },
    })
    if (typeof log === 'number') closeSync(log)
    const out: Buffer[] = []
    const err: Buffer[] = []
    const deadline = options.deadlineMs ?? 60_000
    let late = false
    const timer = setTimeout(() => {
      late = true
      killGroup(child)
    }, deadline)
    child.stdout?.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => err.push(chunk))
    child.stdin?.on('error', () => {})
    child.stdin?.end(options.input ?? '')
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(new LabError(`${file} cannot be started: ${error.message}`))
    })
    child.once('close', (code) => {
      clearTimeout(timer)
      const result = { code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }
      if (late)
        reject(new LabError(`no end after ${deadline / 1000} s: ${title(argv)}\n${tail(result.stderr)}`))
      else if (code === 0 || options.allowFail === true) resolve(result)
      else reject(new LabError(`exit ${code}: ${title(argv)}\n${tail(result.stderr || result.stdout)}`))
    })
  })

/** The same, blocking: for tearing down, which must also work in an exit handler. Never throws. */
export const execSync = (argv: readonly string[], deadlineMs = 20_000): Result => {
  const [file = '', ...args] = argv
  const done = spawnSync(file, args, { timeout: deadlineMs, killSignal: 'SIGKILL', encoding: 'utf8' })
  return { code: done.status, stdout: done.stdout ?? '', stderr: done.stderr ?? '' }
}

/** Starts a daemon in a session of its own; it outlives this process. Returns its pid. */
export const launch = (
  argv: readonly string[],
  logFile: string,
  env: Record<string, string> = {},
): number => {
  const [file = '', ...args] = argv
  const log = openSync(logFile, 'a')
  const child = spawn(file, args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...env },
  })
  closeSync(log)
  child.on('error', () => {})
  child.unref()
  if (child.pid === undefined) throw new LabError(`${file} cannot be started`)
  return child.pid
}

/** Starts a command whose stdin and stdout stay with the caller. */
export const open = (argv: readonly string[]): ChildProcess => {
  const [file = '', ...args] = argv
  return spawn(file, args, { detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
}

/** Runs an interactive command on this terminal; resolves with its exit code. */
export const interact = (argv: readonly string[]): Promise<number> =>
  new Promise((resolve, reject) => {
    const [file = '', ...args] = argv
    const child = spawn(file, args, { stdio: 'inherit' })
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 130))
  })

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * Asks until the answer is yes.
 * @throws LabError naming `what` after `deadlineMs`.
 */
export const until = async (
  what: string,
  deadlineMs: number,
  ask: () => boolean | Promise<boolean>,
  everyMs = 50,
): Promise<void> => {
  const end = Date.now() + deadlineMs
  while (!(await ask())) {
    if (Date.now() > end) throw new LabError(`waited ${deadlineMs / 1000} s in vain: ${what}`)
    await sleep(everyMs)
  }
}
