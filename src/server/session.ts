import { randomBytes } from 'node:crypto'
import type { Command, Host } from '../host/host.ts'

/**
 * The right to write, taken on each server: one holder, one nonce. The export serves under the nonce only, so a new
 * one fences every older client out; a reboot forgets it, so a rebooted server serves nothing.
 */

export interface TakeRequest {
  readonly vault: string
  readonly member: string
  /** Who takes it: thisHolder(). */
  readonly holder: string
  /** newNonce(), kept in the client's receipt before it is sent. */
  readonly nonce: string
  /** Take it although another holder has it. */
  readonly takeOver?: boolean
}

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

/** "<hostname>/<8 hex of the hashed machine-id>:<vault>". */
export const thisHolder = async (vault: string): Promise<string> => {
  throw new Error(`not yet: ${vault}`)
}

/** @param loginUser the SSH user, who must be able to connect to the socket */
export const takeCommand = (request: TakeRequest, loginUser: string): Command => {
  throw new Error(`not yet: ${request.vault} ${loginUser}`)
}
export const releaseCommand = (vault: string, member: string, nonce: string): Command => {
  throw new Error(`not yet: ${vault} ${member} ${nonce}`)
}
export const showCommand = (vault: string, member: string): Command => {
  throw new Error(`not yet: ${vault} ${member}`)
}

/** @throws Fault 6 held by somebody else (with holder and since), 3 not provisioned, 4 the unit does not come up */
export const takeSession = async (
  host: Host & { readonly user: string },
  request: TakeRequest,
): Promise<Taken> => {
  throw new Error(`not yet: ${host.name} ${request.vault}`)
}

/** Stops serving; nothing is left in /run. Not held at all counts as released. @throws Fault 6 when the nonce is not ours */
export const releaseSession = async (
  host: Host,
  vault: string,
  member: string,
  nonce: string,
): Promise<void> => {
  throw new Error(`not yet: ${host.name} ${vault} ${member} ${nonce}`)
}

/** @throws Fault 3 when the server is not provisioned for this member */
export const showSession = async (host: Host, vault: string, member: string): Promise<Session> => {
  throw new Error(`not yet: ${host.name} ${vault} ${member}`)
}
