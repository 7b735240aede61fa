/** Real NBD servers for tests, on a unix socket in a folder of their own. A missing program fails with its name. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Debian packages of the same names. */
export type Program = 'nbdkit' | 'nbd-server'

export interface RunningServer {
  readonly socket: string
  stop(): Promise<void>
}

/** nbdkit with the given words after its own ("memory", "64M"). */
export async function startNbdkit(...words: string[]): Promise<RunningServer> {
  const folder = await mkdtemp(join(tmpdir(), 'cv-nbdkit-'))
  const socket = join(folder, 's')
  return start('nbdkit', ['--foreground', '--unix', socket, ...words], folder, socket)
}

/** nbd-server with one export "disk" of 64 MiB and the given lines in its section. */
export async function startNbdServer(...lines: string[]): Promise<RunningServer> {
  const folder = await mkdtemp(join(tmpdir(), 'cv-nbd-server-'))
  const socket = join(folder, 's')
  const disk = join(folder, 'disk')
  await writeFile(disk, '')
  await truncate(disk, 64 << 20)
  const config = ['[generic]', `unixsock = ${socket}`, '[disk]', `exportname = ${disk}`, ...lines, '']
  await writeFile(join(folder, 'config'), config.join('\n'))
  // Its debug mode would stay in the foreground, but serves one client at a time: so it becomes a daemon, found by its pid file.
  const pidFile = join(folder, 'pid')
  const { socket: path } = await start(
    'nbd-server',
    ['-C', join(folder, 'config'), '-p', pidFile],
    folder,
    socket,
  )
  return { socket: path, stop: () => stopDaemon(pidFile, folder) }
}

async function start(
  program: Program,
  words: string[],
  folder: string,
  socket: string,
): Promise<RunningServer> {
  const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (piece: Buffer) => {
    said += piece.toString()
  })
  const failed = once(child, 'error').then(([error]) => error as NodeJS.ErrnoException)
  for (let tries = 0; tries < 100; tries++) {
    const error = await Promise.race([failed, sleep(50, null)])
    if (error !== null)
      throw new Error(`${program} does not start: apt-get install ${program} (${error.code})`)
    if ((child.exitCode ?? 0) !== 0) throw new Error(`${program} ended with ${child.exitCode}: ${said}`)
    if (await exists(socket)) return { socket, stop: () => stop(child, folder) }
  }
  await stop(child, folder)
  throw new Error(`${program} made no socket within 5 s: ${said}`)
}

async function stop(child: ChildProcess, folder: string): Promise<void> {
  const gone = once(child, 'exit')
  if (child.exitCode === null && child.kill('SIGTERM')) await gone
  await rm(folder, { recursive: true, force: true })
}

async function stopDaemon(pidFile: string, folder: string): Promise<void> {
  const pid = Number(await readFile(pidFile, 'utf8'))
  if (!(pid > 1)) throw new Error(`${pidFile} holds no pid`)
  process.kill(pid, 'SIGTERM')
  for (let tries = 0; tries < 100 && (await exists(`/proc/${pid}`)); tries++) await sleep(20)
  await rm(folder, { recursive: true, force: true })
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )
