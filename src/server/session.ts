import { createHash, randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { Exit, Fault } from '../fault.ts'
import { readIfThere } from '../host/files.ts'
import type { Command, Host, Output } from '../host/host.ts'
import { memberId } from '../names.ts'
import { fields, known, socketPattern } from './answer.ts'

/**
 * The right to write, taken on each server: one holder, one nonce. The export serves under the nonce only, so a new
 * one fences every older client out; a reboot forgets it, so a rebooted server serves nothing. The script that does
 * it (session.sh) works under a lock on the server; this is its other end.
 */

/** Where provision puts session.sh. */
export const sessionScriptPath = '/usr/local/lib/cloudvault/session'

export interface TakeRequest {
  readonly vault: string
  readonly member: string
  /** Who takes it: thisHolder(). */
  readonly holder: string
  /** newNonce(), kept in the client's receipt before it is sent. */
  readonly nonce: string
  /** Take it although another holder has it. */
  readonly takeOver?: boolean
  /** Take it only if nobody else has had it since this holder: for a mount that is older than the session. */
  readonly again?: boolean
}

/** Another machine has the session, or had it meanwhile: what is mounted here must never be written again. */
export class SessionLost extends Fault {}

/** What stands after take. */
export interface Taken {
  readonly bootId: string
  /** Name the export answers to. */
  readonly nonce: string
  /** Where it listens on the server: a unix socket (link ssh) or a TCP port (link plain). */
  readonly listens: { readonly socket: string } | { readonly port: number }
  /** False when the same holder with the same nonce was being served already. */
  readonly changed: boolean
}

export type Session =
  | { readonly held: false }
  | {
      readonly held: true
      readonly holder: string
      readonly nonce: string
      /** ISO 8601, the server's clock. */
      readonly since: string
      /** The unit is active and its socket is there. */
      readonly serving: boolean
      readonly bootId: string
    }

/** 128 random bits in hex: the export's name for one session. */
export const newNonce = (): string => randomBytes(16).toString('hex')

/**
 * "<hostname>/<8 hex>:<vault>": tells a person which machine holds a session. The machine id is hashed, for it is
 * meant to stay on its machine; a machine without one is told apart by its name alone.
 */
export const thisHolder = async (vault: string): Promise<string> => {
  const name =
    hostname()
      .replace(/[^A-Za-z0-9._-]/g, '-')
      .slice(0, 64) || 'unnamed'
  const id = (await readIfThere('/etc/machine-id'))?.trim() || name
  const short = createHash('sha256').update(`cloudvault holder ${id}`).digest('hex').slice(0, 8)
  return `${name}/${short}:${vault}`
}

/** Starting and stopping a unit may each take a minute on the server, and the lock may have to be waited for. */
export const changeDeadline = 240_000

/** @param loginUser the SSH user, who must be able to connect to the socket */
export const takeCommand = (request: TakeRequest, loginUser: string): Command => {
  const id = memberId(request.vault, request.member)
  const how = request.takeOver ? ['--take-over'] : request.again ? ['--again'] : []
  return {
    argv: [sessionScriptPath, 'take', id, request.holder, request.nonce, loginUser, ...how],
    deadline: changeDeadline,
  }
}

export const releaseCommand = (vault: string, member: string, nonce: string): Command => ({
  argv: [sessionScriptPath, 'release', memberId(vault, member), nonce],
  deadline: changeDeadline,
})

export const showCommand = (vault: string, member: string): Command => ({
  argv: [sessionScriptPath, 'show', memberId(vault, member)],
  deadline: 120_000,
})

/** @throws Fault 6 held by somebody else (with holder and since), 3 not provisioned, 4 the unit does not come up */
export const takeSession = async (
  host: Host & { readonly user: string },
  request: TakeRequest,
): Promise<Taken> => {
  const output = await runScript(host, takeCommand(request, host.user), request.vault, request.member)
  if (output.code !== 0) throw takeFailed(request.vault, request.member, output)
  return parseTaken(request.member, output.stdout)
}

/** What a successful `take` printed. @throws Fault 4 when it makes no sense (the server is not to be trusted) */
export const parseTaken = (member: string, text: string): Taken => {
  const said = fields(text)
  const socket = said.get('socket')
  const port = Number(said.get('port'))
  const { bootId, nonce } = known(said)
  if (!bootId || !nonce || said.get('serving') !== 'yes') throw nonsense(member, text)
  if (!socketPattern.test(socket ?? '') && !(port > 0 && port < 65536)) throw nonsense(member, text)
  return {
    bootId,
    nonce,
    listens: socket ? { socket } : { port },
    changed: said.get('changed') !== 'no',
  }
}

/** The error of a `take` that did not exit 0. */
export const takeFailed = (vault: string, member: string, output: Output): Fault => {
  if (output.code === 6) {
    const { who, since } = otherHolder(output)
    return new SessionLost(Exit.busy, `the session is held by ${who} since ${since}`, {
      member,
      next: `cloudvault down ${vault}   (there), or cloudvault up ${vault} --take-over   (fences it out first)`,
    })
  }
  return sessionFailed(vault, member, output, 'the session could not be taken')
}

const otherHolder = (output: Output): { who: string; since: string } => {
  const said = fields(output.stdout)
  const whole = known(said)
  return {
    who: whole.other ?? whole.holder ?? 'somebody',
    since: whole.otherSince ?? whole.since ?? 'an unknown time',
  }
}

/**
 * Stops serving; nothing is left in /run but the lock. Not held at all counts as released.
 * @throws Fault 6 when somebody else holds it now, 3 not provisioned, 4 the server does not let go
 */
export const releaseSession = async (
  host: Host,
  vault: string,
  member: string,
  nonce: string,
): Promise<void> => {
  const output = await runScript(host, releaseCommand(vault, member, nonce), vault, member)
  if (output.code !== 0) throw releaseFailed(vault, member, output)
}

/** The error of a `release` that did not exit 0. */
export const releaseFailed = (vault: string, member: string, output: Output): Fault => {
  if (output.code !== 6) return sessionFailed(vault, member, output, 'the session could not be released')
  const { who, since } = otherHolder(output)
  return new SessionLost(Exit.busy, `the session is no longer ours: ${who} took it at ${since}`, {
    member,
    stands: 'nothing was changed on the server',
    next: `cloudvault status ${vault}`,
  })
}

/** @throws Fault 3 when the server is not provisioned for this member, 4 when it does not answer sensibly */
export const showSession = async (host: Host, vault: string, member: string): Promise<Session> => {
  const output = await runScript(host, showCommand(vault, member), vault, member)
  if (output.code !== 0) throw sessionFailed(vault, member, output, 'the session could not be looked at')
  const said = fields(output.stdout)
  const { bootId, holder, nonce, since } = known(said)
  if (!bootId || !said.has('held')) throw nonsense(member, output.stdout)
  if (said.get('held') === 'no') return { held: false }
  if (!holder || !nonce || !since) throw nonsense(member, output.stdout)
  return { held: true, holder, nonce, since, serving: said.get('serving') === 'yes', bootId }
}

/** A server without the script is one that was never provisioned: the error says what to type. */
export const runScript = async (
  host: Host,
  command: Command,
  vault: string,
  member: string,
): Promise<Output> => {
  try {
    return await host.run(command)
  } catch (error) {
    if (!(error instanceof Fault) || error.exit !== Exit.missing) throw error
    throw error.with({ next: `cloudvault provision ${vault} ${member}` })
  }
}

const nonsense = (member: string, text: string): Fault =>
  new Fault(Exit.unreachable, 'the session script on the server answers something unexpected', {
    member,
    next: 'cloudvault provision   (installs it again)',
    detail: text,
  })

/** Exit 3 is the script's "not provisioned"; a missing script is told by the shell (126, 127) or by env. */
export const sessionFailed = (vault: string, member: string, output: Output, what: string): Fault => {
  const missing = output.code === 3 || output.code === 126
  const provision = `cloudvault provision ${vault} ${member}`
  const detail = output.stderr || output.stdout
  if (output.code === 5) {
    return new Fault(
      Exit.trust,
      "the server's firewall does not protect the export's port: nothing is served",
      {
        member,
        next: `${provision}   (sets its rule again)`,
        detail,
      },
    )
  }
  return new Fault(
    missing ? Exit.missing : Exit.unreachable,
    missing ? 'the server is not provisioned' : what,
    { member, next: missing ? provision : `cloudvault status ${vault}`, detail },
  )
}
