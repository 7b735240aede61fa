import { execFile } from 'node:child_process'
import type { Reached, WizardProbes } from '../../../src/cli/init/servers.ts'
import { initVerb } from '../../../src/cli/init.ts'
import type { World } from '../../../src/cli/world.ts'
import { Exit } from '../../../src/fault.ts'
import { newPassword, password, typedName } from '../../../src/ui/ask.ts'
import { report } from '../../../src/ui/report.ts'

/**
 * The wizard and the other questions as a program of their own, for a real pty: real streams, scripted servers.
 * Bundled and started by init-pty.test.ts; argv[2] says what to do.
 */

const key = (letter: string): string => `SHA256:${letter.repeat(42)}A`

const machine = (hostId: string, more: Partial<Reached> = {}): Reached => ({
  fingerprint: key(hostId),
  hostKeyType: 'ssh-ed25519',
  keyFrom: 'known_hosts',
  freeBytes: 50 * 2 ** 30,
  os: 'Debian GNU/Linux 12 (bookworm)',
  user: 'root',
  isRoot: true,
  canRoot: true,
  hostId,
  ...more,
})

const servers: Record<string, Reached> = {
  'vps-fsn': machine('a'),
  'fsn-again': machine('a'),
  'vps-gra': machine('b', { keyFrom: 'person', freeBytes: 8 * 2 ** 30 }),
  'anna@vps-hel': machine('c', { user: 'anna', isRoot: false, canRoot: false }),
}

const probes: WizardProbes = {
  reach: async (target, { acceptKey }) => {
    const found = servers[target]
    if (!found) return { error: `nothing answers at ${target}`, exit: Exit.unreachable }
    if (found.keyFrom === 'person' && !(await acceptKey(found.fingerprint, found.hostKeyType))) {
      return { error: 'its host key was not accepted', exit: Exit.trust }
    }
    return found
  },
}

const controller = new AbortController()
process.on('SIGTERM', () => controller.abort())
const world = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  self: [],
  signal: controller.signal,
  local: { name: 'here', run: async () => ({ code: 1, stdout: '', stderr: '' }) },
} as unknown as World

const question = { message: 'Passphrase:', flag: '--passphrase file:PATH' }

const acts = {
  init: () =>
    initVerb(
      world,
      process.argv[3],
      { input: true },
      {
        probes,
        provision: async (path) => {
          world.stderr.write(`provisioning ${path}\n`)
          return 0
        },
      },
    ),
  password: async () => {
    const secret = await password(world, question)
    world.stderr.write(`${secret.reveal().length} bytes, shown as ${secret}\n`)
    return 0
  },
  'new-password': async () => {
    const secret = await newPassword(world, { ...question, minimum: 8 })
    world.stderr.write(`${Buffer.from(secret.reveal()).toString('base64')}\n`)
    return 0
  },
  name: async (): Promise<number> => {
    await typedName(world, 'photos', 'This destroys everything.')
    world.stderr.write('destroyed\n')
    return 0
  },
  /** A handle that stays open, as an SSH connection would: Node does not leave by itself. */
  busy: async (): Promise<number> => {
    const child = execFile('sleep', ['30'])
    try {
      return await acts.name()
    } finally {
      child.kill('SIGKILL')
    }
  },
}

try {
  process.exitCode = await acts[process.argv[2] as keyof typeof acts]()
} catch (error) {
  process.exitCode = report(world, error)
}
