import type { Receipt } from '../engine/receipt.ts'
import type { RemoteHost } from '../host/ssh.ts'
import type { Member, Profile } from '../profile/profile.ts'
import { fenceSession } from '../server/fence.ts'
import { newNonce, takeSession } from '../server/session.ts'
import type { Vault } from '../stack/vault.ts'

/**
 * What the monitor asks of a server during an outage, each time over a connection of its own: the one from before may
 * be as dead as the link.
 */

interface Known {
  connect(member: Member): Promise<RemoteHost>
  /** Read afresh: this process may have been started long ago, and others have written since. */
  receipt(): Promise<Receipt>
  readonly holder: string
  readonly nonces: Map<string, string>
}

export const comeback = (profile: Profile, known: Known): Pick<Vault, 'rearm' | 'fence'> => {
  const { vault } = profile
  const on = async (name: string, work: (remote: RemoteHost) => Promise<void>): Promise<void> => {
    const member = profile.members.find((entry) => entry.name === name)
    if (member === undefined) throw new Error(`no member ${name}`)
    const remote = await known.connect(member)
    try {
      await work(remote)
    } finally {
      await remote.close()
    }
  }
  return {
    rearm: (name) =>
      on(name, async (remote) => {
        const nonce = newNonce()
        await takeSession(remote, { vault, member: name, holder: known.holder, nonce, again: true })
        await (await known.receipt()).setFacts({ [`nonce.${name}`]: nonce })
        known.nonces.set(name, nonce)
      }),
    fence: (name) => on(name, (remote) => fenceSession(remote, vault, name, known.nonces.get(name) ?? '')),
  }
}
