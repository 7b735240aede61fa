import { readFileSync } from 'node:fs'
import path from 'node:path'
import {
  attachLab,
  type Lab,
  LabError,
  type LabState,
  missing,
  runningLabs,
  startLab,
  sweep,
  takeDown,
} from '../../lab/index.ts'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import type { World } from './world.ts'

/**
 * `cloudvault lab`: a trusted client and untrusted servers of real kernels on this machine, for anyone who wants to try
 * the product without owning a server. The lab itself lives in lab/, a tree of its own.
 */

/** Where the example profile lies in the client. */
const example = '/root/two-servers.yaml'

const actions = { up: labUp, status: labStatus, shell: labShell, down: labDown } as const

/**
 * @param target up: number of servers (default 2) · shell: fsn, gra… or a lab's id, or id/fsn · down: a lab's id; needed only when several run
 * @throws Fault 2 unknown action or target, 3 something the lab needs is not here, 4 a machine of the lab did not come up
 */
export const labVerb = async (world: World, action: string, target?: string): Promise<ExitCode> => {
  if (!Object.hasOwn(actions, action))
    throw new Fault(Exit.usage, `lab knows no "${action}"; it knows ${Object.keys(actions).join(', ')}`)
  const needed = missing().filter((what) => !what.startsWith('the package'))
  if (needed.length > 0)
    throw new Fault(Exit.missing, `the lab needs ${needed.join(', ')}`, {
      next: `sudo cloudvault lab ${action}`,
    })
  try {
    return await actions[action as keyof typeof actions](world, target)
  } catch (error) {
    if (!(error instanceof LabError)) throw error
    const [what = 'the lab failed', ...detail] = error.message.split('\n')
    const exit = missing().length > 0 ? Exit.missing : Exit.unreachable
    throw new Fault(exit, what, { detail: detail.join('\n'), next: 'cloudvault lab status', cause: error })
  }
}

async function labUp(world: World, count = '2'): Promise<ExitCode> {
  if (!/^[1-4]$/.test(count)) throw new Fault(Exit.usage, `a lab has 1 to 4 servers, not "${count}"`)
  const log = (line: string) => void world.stderr.write(`${line}\n`)
  const lab = await startLab({ servers: Number(count), persistent: true, log })
  await giveExample(lab)
  world.stdout.write(`${howTo(lab).join('\n')}\n`)
  return Exit.ok
}

/** The shipped profile, with disks that a laptop has room for. */
const giveExample = async (lab: Lab): Promise<void> => {
  const shipped = path.join(lab.repository, 'profiles/two-servers.yaml')
  const profile = readFileSync(shipped, 'utf8').replaceAll('size: 10GiB', 'size: 1GiB')
  await lab.client.putFile(example, profile, 0o600)
}

const servers = (lab: Lab): string[] =>
  lab.servers.map((server) => {
    const state = server.running ? 'up  ' : 'off '
    return `  ${server.name}   ${state} ${server.address}   ssh ${server.sshAlias}   host key ${server.hostKeyFingerprint}`
  })

const howTo = (lab: Lab): string[] => [
  `lab ${lab.id}: a trusted client and ${lab.servers.length} servers it does not trust`,
  ...servers(lab),
  '',
  '  cloudvault lab shell         a root shell in the client; then, there:',
  `    cloudvault provision ${example} && cloudvault create ${example} && cloudvault up ${example}`,
  '  cloudvault lab shell fsn     a root shell on a server, to look or to do harm',
  '  cloudvault lab down          takes everything away',
]

const oldestLast = (): LabState[] =>
  runningLabs()
    .filter((state) => state.ready)
    .sort((one, other) => other.startedAt.localeCompare(one.startedAt))

async function labStatus(world: World): Promise<ExitCode> {
  const states = oldestLast()
  if (states.length === 0) world.stdout.write('no lab runs; start one with: cloudvault lab up\n')
  for (const state of states) {
    const lab = attachLab(state)
    const owner = state.owner === null ? 'until lab down' : `as long as process ${state.owner.pid}`
    world.stdout.write(`lab ${lab.id}   since ${state.startedAt}, stays ${owner}\n`)
    world.stdout.write(`  client ${lab.client.running ? 'up  ' : 'off '} ${lab.client.address}\n`)
    world.stdout.write(`${servers(lab).join('\n')}\n`)
  }
  return Exit.ok
}

/** The lab and host that "", "fsn", "3e9b4e" or "3e9b4e/fsn" mean; the newest lab when none is named. */
const find = (target: string): { lab: Lab; host: string } => {
  const states = oldestLast()
  const [first = '', second] = target.split('/')
  const named = states.find((state) => state.id === first)
  const state = named ?? states[0]
  if (state === undefined) throw new Fault(Exit.usage, 'no lab runs', { next: 'cloudvault lab up' })
  const host = named === undefined ? first : (second ?? '')
  return { lab: attachLab(state), host: host === '' ? 'client' : host }
}

async function labShell(world: World, target = ''): Promise<ExitCode> {
  const { lab, host } = find(target)
  if (!world.stdin.isTTY) throw new Fault(Exit.usage, 'lab shell needs a terminal')
  const server = lab.servers.find((one) => one.name === host)
  if (host !== 'client' && server === undefined)
    throw new Fault(Exit.usage, `lab ${lab.id} has no host "${host}"; it has client, ${names(lab)}`)
  world.stderr.write(`${host} of lab ${lab.id}; leave with exit\n`)
  // What the last command in the shell answered says nothing about the lab.
  await (server ?? lab.client).shell()
  return Exit.ok
}

const names = (lab: Lab): string => lab.servers.map((server) => server.name).join(', ')

async function labDown(world: World, id?: string): Promise<ExitCode> {
  sweep((line) => void world.stderr.write(`${line}\n`))
  const states = runningLabs()
  // Without a name only what was started to stay: a test that runs right now keeps its lab.
  const chosen = states.filter((state) => (id === undefined ? state.owner === null : state.id === id))
  // Somebody else on this machine may have started the others.
  if (id === undefined && chosen.length > 1)
    throw new Fault(Exit.decide, `${chosen.length} labs run: ${chosen.map((state) => state.id).join(', ')}`, {
      stands: 'nothing was taken down',
      next: `cloudvault lab down ${chosen[0]?.id}`,
    })
  if (id !== undefined && chosen.length === 0) throw new Fault(Exit.usage, `no lab "${id}" runs here`)
  if (chosen.length === 0) world.stdout.write('no lab runs\n')
  for (const state of chosen) {
    const left = takeDown(state.id)
    if (left.length > 0)
      throw new Fault(Exit.busy, `lab ${state.id} would not go: ${left.join(', ')}`, {
        next: `cloudvault lab down ${state.id}`,
      })
    world.stdout.write(`lab ${state.id} is gone\n`)
  }
  return Exit.ok
}
